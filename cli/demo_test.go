package cli

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"hopgate/demo"
)

// buffer collects output and tells when there is more.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // has room for one
}

func newBuffer() *buffer { return &buffer{more: make(chan struct{}, 1)} }

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.more <- struct{}{}:
	default:
	}
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// await waits until the output has a text.
func (b *buffer) await(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !strings.Contains(b.String(), text) {
		select {
		case <-b.more:
		case <-deadline:
			t.Fatalf("no %q in:\n%s", text, b)
		}
	}
}

// start runs a command until end is called, which gives its
// exit code.
func start(t *testing.T, args ...string) (out, errs *buffer, end func() int) {
	t.Helper()
	out, errs = newBuffer(), newBuffer()
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() { code <- RunContext(ctx, args, Streams{In: strings.NewReader(""), Out: out, Err: errs}) }()
	var once sync.Once
	result := -1
	end = func() int {
		once.Do(func() {
			cancel()
			select {
			case result = <-code:
			case <-time.After(20 * time.Second):
				t.Errorf("%q does not end", args)
			}
		})
		return result
	}
	t.Cleanup(func() { end() })
	return out, errs, end
}

// TestDemo runs every command that the demo prints, as a user would by
// pasting all of it into a shell, and checks that each does what its caption
// says.
func TestDemo(t *testing.T) {
	for _, program := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	out, errs, end := start(t, "demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	// The secret is another in each run; that it begins so is known.
	steps := map[string]demo.Step{}
	for _, s := range new(demo.Demo).Scenario(true) {
		for i, never := range s.Never {
			if never.String() == "" {
				s.Never[i] = regexp.MustCompile(`sk_demo_[A-Z2-7]`)
			}
		}
		steps[s.Caption] = s
	}
	out.await(t, "/config\"\n\n")

	// Each command is followed by a mark, which tells the outputs apart.
	var script strings.Builder
	var captions []string
	script.WriteString("set -u\n")
	const mark = "---- done "
	blocks := strings.Split(out.String(), "\n\n")
	for _, block := range blocks[1:] {
		caption, isStep := strings.CutPrefix(block, "# ")
		caption, command, _ := strings.Cut(caption, "\n")
		if !isStep {
			script.WriteString(block + "\n") // the variables
			continue
		}
		if command = strings.TrimSpace(command); command == "" {
			continue
		}
		fmt.Fprintf(&script, "{ %s\n} 2>&1\necho; echo '%s%d'\n", command, mark, len(captions))
		captions = append(captions, caption)
	}
	if len(captions) != len(steps) {
		t.Fatalf("%d commands are printed, the scenario has %d:\n%s", len(captions), len(steps), out)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	bash := exec.CommandContext(ctx, "bash")
	bash.Stdin = strings.NewReader(script.String())
	said, err := bash.CombinedOutput()
	if err != nil {
		t.Errorf("bash: %v", err)
	}
	rest := string(said)
	for i, caption := range captions {
		output, after, found := strings.Cut(rest, fmt.Sprintf("%s%d\n", mark, i))
		if !found {
			t.Fatalf("%s: no output\n%s", caption, rest)
		}
		rest = after
		step, ok := steps[caption]
		if !ok {
			t.Errorf("%q is printed and not in the scenario", caption)
			continue
		}
		if err := step.Check(output); err != nil {
			t.Errorf("%s\n%s\n%v:\n%s", caption, step.Command, err, output)
		}
	}
	if code := end(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if strings.Contains(errs.String()+out.String(), "sk_demo_") {
		t.Error("the demo shows the backend's secret")
	}
	if t.Failed() {
		t.Logf("standard error:\n%s", errs)
	}
}

// TestDemoFindsItsPortTaken says which flag to use.
func TestDemoFindsItsPortTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	address := ln.Addr().String()
	for flag, args := range map[string][]string{
		"--listen": {"--listen", address, "--admin", "off"},
		"--admin":  {"--listen", "127.0.0.1:0", "--admin", address},
	} {
		code, out, errs := command(append([]string{"demo"}, args...)...)
		if code != exitUsage || out != "" || !strings.Contains(errs, "cannot listen on "+address) || !strings.Contains(errs, "change "+flag+", or end the program that uses it") {
			t.Errorf("%s: %d %s%s", flag, code, out, errs)
		}
	}
}
