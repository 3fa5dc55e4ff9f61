// Command testreport reads `go test -json` from standard input and prints what plain `go test` would have printed, as it
// comes, and the name and reason of every test that was skipped, which plain `go test` keeps to itself. The counts, as
// "N passed, N failed, N skipped", go to the file named by its argument. It ends with 1 when anything failed or was skipped,
// or when nothing was run.
//
// Tests and subtests count alike. A package that fails without a test that does (it did not build, or it died) is one failure.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action, Package, Test, Output, ImportPath, FailedBuild string
}

type report struct {
	out                     io.Writer
	passed, failed, skipped int
	text                    map[string]*strings.Builder // what each running test has printed
	failures                map[string]int              // by package
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go test -json ./... | testreport COUNTS-FILE")
		os.Exit(2)
	}
	r := &report{out: os.Stdout, text: map[string]*strings.Builder{}, failures: map[string]int{}}
	err := r.read(os.Stdin)
	if err == nil {
		err = os.WriteFile(os.Args[1], []byte(r.counts()+"\n"), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
	fmt.Println(r.counts())
	if r.failed > 0 || r.skipped > 0 || r.passed == 0 {
		os.Exit(1)
	}
}

func (r *report) counts() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", r.passed, r.failed, r.skipped)
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) == nil && e.Action != "" {
				r.add(e)
			} else { // something that go itself said
				fmt.Fprint(r.out, line)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) add(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		if e.Test == "" {
			if e.Output != "PASS\n" {
				fmt.Fprint(r.out, e.Output)
			}
			return
		}
		if r.text[key] == nil {
			r.text[key] = &strings.Builder{}
		}
		r.text[key].WriteString(e.Output)
	case "pass":
		if e.Test != "" {
			r.passed++
		} else {
			r.died(e.Package, false)
		}
		delete(r.text, key)
	case "fail":
		if e.Test != "" {
			r.failed++
			r.failures[e.Package]++
			r.show(key)
		} else {
			r.died(e.Package, true)
		}
	case "skip":
		if e.Test != "" { // a package without tests is "skipped", too, and is none of our business
			r.skipped++
			r.show(key)
		}
	}
}

// died shows what tests that never ended have printed, and counts a package that failed without a failed test.
func (r *report) died(pkg string, failed bool) {
	for key := range r.text {
		if strings.HasPrefix(key, pkg+" ") {
			r.show(key)
		}
	}
	if failed && r.failures[pkg] == 0 {
		r.failed++
	}
}

func (r *report) show(key string) {
	if text := r.text[key]; text != nil {
		pkg, _, _ := strings.Cut(key, " ")
		fmt.Fprintf(r.out, "%s:\n%s", pkg, text)
		delete(r.text, key)
	}
}
