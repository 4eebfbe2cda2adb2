package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// maxBinary is how many bytes the stripped program may have.
const maxBinary = 20_000_000

// TestBinary links the program and looks at what is in it.
//
// The linker leaves out methods that nothing calls, unless something that is
// reachable calls methods by names that are known only when it runs, as
// text/template does: then each method of each type has to stay, a quarter of
// the program. The first to bring that in is told here.
func TestBinary(t *testing.T) {
	if testing.Short() {
		t.Skip("linking takes some seconds")
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no go tool to link with")
	}
	binary := filepath.Join(t.TempDir(), "hopgate")
	build := exec.Command(tool, "build", "-trimpath", "-ldflags", "-s -w -dumpdep", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	graph, err := build.CombinedOutput() // the linker tells there what it reaches
	if err != nil {
		t.Fatalf("%v\n%s", err, graph[:min(len(graph), 2000)])
	}
	if !bytes.Contains(graph, []byte("main.main -> hopgate/cli.Run")) {
		t.Fatalf("the linker tells something else: %s", graph[:min(len(graph), 2000)])
	}
	for line := range bytes.Lines(graph) {
		from, to, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" -> "))
		if bytes.HasSuffix(to, []byte("<ReflectMethod>")) && !bytes.HasPrefix(to, []byte("reflect.")) {
			t.Errorf("methods are called by name in %s, which %s calls", to, from)
		}
	}
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", info.Size())
	if info.Size() > maxBinary {
		t.Errorf("the program has %d bytes, more than %d", info.Size(), maxBinary)
	}
}

// TestPackages names packages that have no place in the program: profiles are
// not for a gate's listeners, and each of the others is large and has a
// counterpart that is there already.
func TestPackages(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no go tool to ask")
	}
	out, err := exec.Command(tool, "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	for _, name := range []string{
		"net/http/pprof", "runtime/pprof", "html/template", "encoding/gob", "net/rpc", "testing",
		"google.golang.org/grpc", "github.com/lestrrat-go/jwx/v3/jwt", "github.com/goccy/go-json",
		"cel.dev/cel-go/ext", "github.com/santhosh-tekuri/jsonschema/v6", "github.com/pelletier/go-toml/v2",
	} {
		if slices.Contains(packages, name) {
			t.Errorf("the program has %s", name)
		}
	}
}
