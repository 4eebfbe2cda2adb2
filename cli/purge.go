package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"hopgate/admin"
)

func newPurge(s Streams) *cobra.Command {
	var address string
	var p admin.PurgeRequest
	c := &cobra.Command{
		Use:   "purge",
		Short: "Make a running gate forget cached answers",
		Long: `Asks a running gate, through its admin listener, to forget cached answers. When
the command ends, no request is given one of them any more. Each flag may be
repeated; what any of them names is forgotten.

--principal and --session reach what is kept for one caller alone (scope user or
session), --organization all that holds an organization's data but what is kept
for everybody, --uri an address whoever asked and with whatever query. A key is
what 'hopgate explain' shows for a request.

Exit status 0 where it is forgotten, 1 where no gate could be asked, 2 where the
gate does not know what is meant.`,
		Example: `  hopgate purge --route read-self
  hopgate purge --principal user_1 --session sess_1
  hopgate purge --organization org_1 --soft
  hopgate purge --uri https://api.example.com/v1/users/user_1
  hopgate purge --all --admin http://10.0.0.7:9090`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if len(p.Routes)+len(p.Keys)+len(p.Principals)+len(p.Organizations)+len(p.Sessions)+len(p.Tags)+len(p.URIs) == 0 && !p.All {
				return unusable("nothing is named; name what is to be forgotten, for example with --route, or say --all")
			}
			var answer admin.PurgeAnswer
			if err := askAdmin(c.Context(), address, "/purge", p, &answer); err != nil {
				return err
			}
			if _, err := fmt.Fprintln(s.Out, describePurge(answer.Purged)); err != nil {
				return failed("cannot write what was purged: %v", err)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&address, "admin", defaultAdmin, "the gate's admin listener, or unix:/path")
	f.StringArrayVar(&p.Routes, "route", nil, "a route's id")
	f.StringArrayVar(&p.Keys, "key", nil, "a key, as explain shows it")
	f.StringArrayVar(&p.Principals, "principal", nil, "a user id")
	f.StringArrayVar(&p.Organizations, "organization", nil, "an organization's id")
	f.StringArrayVar(&p.Sessions, "session", nil, "a session's id")
	f.StringArrayVar(&p.Tags, "tag", nil, "a tag that the upstream gave (Cache-Tag, Surrogate-Key)")
	f.StringArrayVar(&p.URIs, "uri", nil, "an absolute URI; its query does not count")
	f.BoolVar(&p.All, "all", false, "everything")
	f.BoolVar(&p.Soft, "soft", false, "make it stale instead, to be given where the upstream is slow or fails")
	return c
}

// describePurge says what a gate purged.
func describePurge(p admin.PurgeRequest) string {
	var names []string
	add := func(kind string, list []string) {
		if len(list) > 0 {
			names = append(names, kind+" "+strings.Join(list, ", "))
		}
	}
	add("routes", p.Routes)
	add("keys", p.Keys)
	add("principals", p.Principals)
	add("organizations", p.Organizations)
	add("sessions", p.Sessions)
	add("tags", p.Tags)
	add("uris", p.URIs)
	if p.All {
		names = []string{"everything"}
	}
	verb := "purged: "
	if p.Soft {
		verb = "purged softly: "
	}
	return verb + printable(strings.Join(names, "; "))
}
