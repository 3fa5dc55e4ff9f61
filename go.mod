module github.com/switchbind/switchbind

go 1.26.0
