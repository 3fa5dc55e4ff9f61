package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"switchbind": main})
}

// TestScripts runs the transcripts in testdata/scripts. A script has the program as `switchbind`, and three commands more:
//
//	exits CODE switchbind ARGS...   run it and check the exit code
//	service                         start a fake service behind a real NATS server; $SWITCHBIND_NATS_URL says where
//	asked TEXT                      the fake service was asked this; `! asked` that it was not
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/scripts",
		Setup: func(env *testscript.Env) error {
			env.Setenv("SWITCHBIND_NATS_URL", "nats://127.0.0.1:1") // nobody is there until `service`
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("GORACE", "atexit_sleep_ms=0") // the race detector would hold every exit for a second
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"service": startService,
			"asked":   asked,
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE program [args...]")
	}
	want, err := strconv.Atoi(args[0])
	if err != nil {
		ts.Fatalf("%v", err)
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code is %d, want %d", got, want)
	}
}

// scriptScope lets startFake clean up at the end of a script.
type scriptScope struct{ ts *testscript.TestScript }

func (s scriptScope) Cleanup(f func())  { s.ts.Defer(f) }
func (s scriptScope) Fatal(args ...any) { s.ts.Fatalf("%s", fmt.Sprint(args...)) }
func (s scriptScope) TempDir() string {
	dir, err := os.MkdirTemp(s.ts.Getenv("WORK"), "nats")
	if err != nil {
		s.ts.Fatalf("%v", err)
	}
	return dir
}

// cores are the fake services of the scripts that run, by the address of their server.
var cores = newRegistry()

func startService(ts *testscript.TestScript, _ bool, _ []string) {
	core := newFakeCore()
	url := startFake(scriptScope{ts}, core)
	cores.put(url, core)
	ts.Setenv("SWITCHBIND_NATS_URL", url)
}

func asked(ts *testscript.TestScript, neg bool, args []string) {
	log := strings.Join(cores.get(ts.Getenv("SWITCHBIND_NATS_URL")).log(), "\n")
	if found := strings.Contains(log, strings.Join(args, " ")); found == neg {
		ts.Fatalf("the service was asked:\n%s", log)
	}
}
