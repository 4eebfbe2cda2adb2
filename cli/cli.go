// Package cli is hopgate's command line: it wires the packages together,
// handles signals and reloads, and prints what people read.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"hopgate/config"
)

// The exit codes of every command.
const (
	exitOK     = 0 // all went well
	exitFailed = 1 // a check or test failed
	exitUsage  = 2 // the command line or the configuration is wrong
)

// Streams are the standard streams of a command.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// complain writes to standard error. Where that fails there is nobody left to
// tell.
func (s Streams) complain(format string, args ...any) { _, _ = fmt.Fprintf(s.Err, format, args...) }

// version is set by the linker.
var version = "dev"

// failure ends a command with an exit code. Where shown is true the command
// has printed all there is to say.
type failure struct {
	code  int
	shown bool
	err   error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func failed(format string, args ...any) error {
	return &failure{code: exitFailed, err: fmt.Errorf(format, args...)}
}

func unusable(format string, args ...any) error {
	return &failure{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// Run runs the command that args name (without the program's name) and
// returns its exit code.
func Run(args []string, s Streams) int {
	return RunContext(context.Background(), args, s)
}

// RunContext is Run with a context; when it ends, serve and demo shut down
// as they do on SIGTERM.
func RunContext(ctx context.Context, args []string, s Streams) int {
	root := newRoot(s)
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	c, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var f *failure
	if !errors.As(err, &f) {
		// What cobra itself reports is about the command line.
		s.complain("hopgate: %v\nRun '%s --help' for usage.\n", excluded(err), c.CommandPath())
		return exitUsage
	}
	if !f.shown {
		s.complain("hopgate: %v\n", f.err)
	}
	return f.code
}

func newRoot(s Streams) *cobra.Command {
	var version bool
	root := &cobra.Command{
		Use:   "hopgate",
		Short: "An edge authorization proxy for backend APIs",
		Long: `hopgate stands in front of a backend API, near its users. On each request it
verifies the session token locally, decides by a policy file, and answers from
a short-lived cache or forwards to the backend with the secret injected.

Start here:
  hopgate demo                     see it work, with nothing else installed
  hopgate init --preset clerk      write a configuration and a test for it
  hopgate check && hopgate test    is it right?
  hopgate serve                    run it

Exit status: 0 good, 1 a check or test failed, 2 wrong usage or configuration.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          unknownCommand,
		RunE: func(c *cobra.Command, _ []string) error {
			if version {
				_, err := io.WriteString(s.Out, versionLine())
				return err
			}
			return c.Help()
		},
	}
	root.SetFlagErrorFunc(unknownFlag)
	// A flag of our own: cobra's takes a text/template, which would keep the
	// linker from leaving out of the program what nothing calls.
	root.Flags().BoolVarP(&version, "version", "v", false, "version for hopgate")
	root.AddCommand(
		newServe(s), newCheck(s), newTest(s), newExplain(s), newPurge(s), newDemo(s),
		newInit(s), newToken(s), newSchema(s), newVersion(s),
	)
	root.SetHelpCommand(newHelp())
	completion(root)
	return root
}

// configFlag adds -c to a command.
func configFlag(c *cobra.Command, path *string) {
	c.Flags().StringVarP(path, "config", "c", "hopgate.yaml", "configuration file")
}

func newSchema(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration file",
		Example: `  hopgate schema > config.schema.json
  # then, as the first line of hopgate.yaml, for completion in the editor:
  # yaml-language-server: $schema=./config.schema.json`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := s.Out.Write(config.Schema())
			return err
		},
	}
}

func newVersion(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  hopgate version",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(s.Out, versionLine())
			return err
		},
	}
}

// versionLine is what version and --version print.
func versionLine() string {
	return fmt.Sprintf("hopgate %s (%s, %s/%s)\n", fullVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// fullVersion is the linked version, else what the Go tool recorded.
func fullVersion() string {
	if version != "dev" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return version
}

// readFileOrStdin reads a file, or standard input where name is "-".
func readFileOrStdin(s Streams, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(s.In)
	}
	return os.ReadFile(name)
}
