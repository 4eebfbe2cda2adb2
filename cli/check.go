package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"hopgate/config"
	"hopgate/proxy"
	"hopgate/telemetry"
)

func newCheck(s Streams) *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration, offline",
		Long: `Loads and compiles the configuration as serve would, without listening or
calling anybody, and prints every fault at once as file:line:column, what was
found and what would be right. Exit status 2 where there is one.`,
		Example: `  hopgate check
  hopgate check -c /etc/hopgate/hopgate.yaml`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			snapshot, errs, err := compile(path)
			if err != nil {
				return err
			}
			if errs.Len() > 0 {
				return configFaults(s, errs)
			}
			printWarnings(s, errs)
			cfg := snapshot.Config
			_, err = fmt.Fprintf(s.Out, "%s is right: %s, %s, %s, %s\n", path,
				count(len(cfg.Routes), "route"), count(len(cfg.Rules), "rule"),
				count(len(cfg.Issuers), "issuer"), count(len(cfg.Upstreams), "upstream"))
			return err
		},
	}
	configFlag(c, &path)
	return c
}

// compile loads and compiles a configuration as serve does, starting nothing.
func compile(path string) (*proxy.Snapshot, *config.Errors, error) {
	cfg, errs, err := config.Load(path)
	if err != nil {
		return nil, nil, cannotLoad(err)
	}
	if cfg == nil {
		return nil, errs, nil
	}
	return compileOnly(cfg, errs), errs, nil
}

// cannotLoad says what to do about a configuration that cannot be read.
func cannotLoad(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return unusable("%v; write one with 'hopgate init', or name it with -c", err)
	}
	return unusable("%v", err)
}

// compileOnly compiles a configuration without running anything.
func compileOnly(cfg *config.Config, errs *config.Errors) *proxy.Snapshot {
	gate := proxy.New(proxy.Options{Metrics: telemetry.New(), Log: slog.New(slog.DiscardHandler)})
	return gate.Compile(cfg, errs)
}

// configFaults prints the faults and warnings of a configuration, each on
// its line.
func configFaults(s Streams, errs *config.Errors) error {
	printWarnings(s, errs)
	return faultsOf(s, errs.Err())
}

// faultsOf prints faults of files, each on its line.
func faultsOf(s Streams, err error) error {
	lines := faultLines(err)
	for _, line := range lines {
		s.complain("%s\n", line)
	}
	s.complain("hopgate: %s\n", count(len(lines), "fault"))
	return &failure{code: exitUsage, shown: true, err: err}
}

// faultLines gives a line for each fault.
func faultLines(err error) []string {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []string{err.Error()}
	}
	var lines []string
	for _, e := range joined.Unwrap() {
		lines = append(lines, e.Error())
	}
	return lines
}

func printWarnings(s Streams, errs *config.Errors) {
	for _, x := range errs.Warnings() {
		s.complain("%s: warning: %s\n", x.Pos, x.Message)
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// terminal tells whether w is a terminal that shows colours.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
