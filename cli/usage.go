package cli

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/spf13/cobra"
)

// newHelp is cobra's help command, but for a word that is no command, which
// is an error here as it is everywhere else.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Print the help of a command",
		Example: "  hopgate help serve",
		RunE: func(c *cobra.Command, args []string) error {
			topic, rest, err := c.Root().Find(args)
			if err != nil {
				return err
			}
			if topic == c.Root() {
				if err := unknownCommand(topic, rest); err != nil {
					return err
				}
			}
			topic.InitDefaultHelpFlag()
			return topic.Help()
		},
		ValidArgsFunction: func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, sub := range c.Root().Commands() {
				if len(args) == 0 && sub.IsAvailableCommand() {
					names = append(names, sub.Name()+"\t"+sub.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// completion shows cobra's own command in the list, and lets it refuse shells
// that it does not know.
func completion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Short = "Print a script that completes commands and flags in a shell"
			c.Long = "Prints a script that completes commands and flags in a shell. The help of each\nshell's command says where the script belongs."
			c.Example = "  source <(hopgate completion bash)"
			c.Args = unknownCommand
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	}
}

// noArgs refuses arguments.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if c.Flags().Lookup("config") != nil && (strings.HasSuffix(args[0], ".yaml") || strings.HasSuffix(args[0], ".yml")) {
		hint = "; name a configuration with -c"
	}
	return fmt.Errorf("'%s' takes no arguments, and %q is one%s", c.CommandPath(), args[0], hint)
}

// methodAndURL wants the two arguments of explain.
func methodAndURL(_ *cobra.Command, args []string) error {
	switch len(args) {
	case 2:
		return nil
	case 0:
		return errors.New("METHOD and URL are missing, such as: hopgate explain GET /v1/users/user_1")
	case 1:
		return fmt.Errorf("there is only %q; METHOD and URL are needed, such as: hopgate explain GET /v1/users/user_1", args[0])
	}
	return fmt.Errorf("METHOD and URL are needed, and %q is a third argument; put an argument that has spaces in quotes", args[2])
}

var exclusive = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^if any flags in the group .* none of the others can be; \[(.+)\] were all set$`)
})

// excluded says in plain words what cobra says about flags that exclude each
// other.
func excluded(err error) error {
	m := exclusive().FindStringSubmatch(err.Error())
	if m == nil {
		return err
	}
	return fmt.Errorf("--%s exclude each other; give one of them", strings.Join(strings.Fields(m[1]), " and --"))
}

// words completes the value of a flag.
func words(c *cobra.Command, flag string, list ...string) {
	// An error would be a flag that is not there.
	if err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err)
	}
}
