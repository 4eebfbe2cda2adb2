package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"hopgate/config"
	"hopgate/demo"
)

func newDemo(s Streams) *cobra.Command {
	var o demoOptions
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run an issuer, a backend and the gate, and print what to try",
		Long: `Starts, in one process and with no outside service, an OpenID issuer whose keys
rotate, a small backend API, and the gate in front of it, all on loopback. It
prints commands to paste into another terminal: allowed calls, cached ones,
each kind of denial, and a stale answer while the backend is stopped.`,
		Example: `  hopgate demo
  hopgate demo --listen 127.0.0.1:8000 --access-log stderr`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runDemo(c.Context(), s, o) },
	}
	f := c.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "address of the gate; port 0 takes a free one")
	f.StringVar(&o.admin, "admin", "127.0.0.1:9090", "address of the admin listener, or off")
	f.StringVar(&o.access, "access-log", "off", "where the access log goes: stdout, stderr, off or a file")
	return c
}

type demoOptions struct{ listen, admin, access string }

func runDemo(ctx context.Context, s Streams, o demoOptions) error {
	d, err := demo.Start(ctx, demo.Options{Gate: o.listen, Admin: o.admin, AccessLog: o.access})
	if err != nil {
		return unusable("%v", err)
	}
	defer func() { _ = d.Close() }() // the process ends with it
	load := func() (*config.Config, *config.Errors, error) {
		cfg, errs := config.Parse("hopgate.demo.yaml", d.Config(), d.Env)
		return cfg, errs, nil
	}
	cfg, errs, _ := load()
	return serve(ctx, s, cfg, errs, serveOptions{
		reload:     load,
		listenName: "--listen", adminName: "--admin",
		listening: func(gate, admin net.Addr) {
			if err := printDemo(s.Out, d, baseURL(gate), baseURL(admin)); err != nil {
				s.complain("hopgate: %v\n", err)
			}
		},
	})
}

func baseURL(a net.Addr) string {
	if a == nil {
		return ""
	}
	return "http://" + a.String()
}

// printDemo prints the scenario as a shell script that can be pasted whole
// or line by line.
func printDemo(w io.Writer, d *demo.Demo, gate, admin string) error {
	vars, err := d.Variables(gate, admin)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("# The gate runs. Paste these into another terminal; Ctrl-C here ends it.\n")
	b.WriteString("# Alice is an admin of Acme, Bob a member of it, Carol an admin of Globex.\n\n")
	for _, v := range vars {
		b.WriteString(v.Line)
		b.WriteByte('\n')
	}
	for _, step := range d.Scenario(admin != "") {
		fmt.Fprintf(&b, "\n# %s\n%s\n", step.Caption, step.Command)
	}
	b.WriteByte('\n')
	_, err = io.WriteString(w, b.String())
	return err
}
