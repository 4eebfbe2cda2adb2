package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hopgate/policy/policytest"
)

func newTest(s Streams) *cobra.Command {
	var o testOptions
	c := &cobra.Command{
		Use:   "test [FILE...]",
		Short: "Run policy tests",
		Long: `Runs the cases of policy tests, offline and without listening: each is a
request, whose token it has, and how it should fare. Without FILE it runs every
*.test.yaml beside and below the configuration; a folder stands for those in it.

A file names its configuration with config:, relative to itself; -c overrides
that. Exit status 1 where a case does not fare as expected or the coverage is
below --min-coverage, 2 where a file or a configuration has a fault.`,
		Example: `  hopgate test
  hopgate test -v --coverage
  hopgate test --min-coverage 90 --format junit > report.xml
  hopgate test -c hopgate.yaml policies/members.test.yaml`,
		RunE: func(c *cobra.Command, files []string) error {
			if c.Flags().Changed("config") {
				o.override = o.config
			}
			return runTests(s, files, o)
		},
	}
	configFlag(c, &o.config)
	f := c.Flags()
	f.BoolVar(&o.coverage, "coverage", false, "list the sides of routes and rules that no case exercised")
	f.Float64Var(&o.minCoverage, "min-coverage", 0, "fail where fewer percent of the sides are exercised")
	f.StringVar(&o.format, "format", "text", "text, json or junit")
	words(c, "format", "text", "json", "junit")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "list the cases that pass, too")
	return c
}

type testOptions struct {
	config      string // where files are looked for, and for files that name none
	override    string // for every file
	coverage    bool
	minCoverage float64
	format      string
	verbose     bool
}

func runTests(s Streams, files []string, o testOptions) error {
	if !slices.Contains([]string{"text", "json", "junit"}, o.format) {
		return unusable("--format is %q; it should be text, json or junit", o.format)
	}
	if o.minCoverage < 0 || o.minCoverage > 100 {
		return unusable("--min-coverage is %g; it should be a percentage from 0 to 100", o.minCoverage)
	}
	files, err := testFiles(files, filepath.Dir(o.config))
	if err != nil {
		return err
	}
	report, err := policytest.Run(files, policytest.Options{Config: o.override, Default: o.config})
	if err != nil {
		return faultsOf(s, err)
	}
	switch o.format {
	case "json":
		err = report.WriteJSON(s.Out)
	case "junit":
		err = report.WriteJUnit(s.Out)
	default:
		report.Color = terminal(s.Out)
		err = report.WriteText(s.Out, o.verbose, o.coverage || o.minCoverage > 0)
	}
	if err != nil {
		return failed("cannot write the report: %v", err)
	}
	if report.Failed > 0 {
		return failed("%d of %s did not fare as expected", report.Failed, count(report.Cases, "case"))
	}
	if got := report.Coverage.Percent; got < o.minCoverage {
		return failed("the coverage is %.1f%%, below the %g%% of --min-coverage; --coverage lists what no case exercised", got, o.minCoverage)
	}
	return nil
}

// testFiles gives the files to run: those that are named and those in the
// folders that are named, or else those in the configuration's folder.
func testFiles(named []string, folder string) ([]string, error) {
	search := named
	if len(named) == 0 {
		search = []string{folder}
	}
	var files []string
	for _, name := range search {
		info, err := os.Stat(name)
		if err != nil {
			return nil, unusable("cannot read the tests: %v", err)
		}
		if !info.IsDir() {
			files = append(files, name)
			continue
		}
		found, err := testFilesBelow(name)
		if err != nil {
			return nil, unusable("cannot look for tests: %v", err)
		}
		if len(found) == 0 {
			return nil, unusable("there is no *.test.yaml in %s or below; 'hopgate init' writes one, or name the file", name)
		}
		files = append(files, found...)
	}
	return files, nil
}

func testFilesBelow(folder string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrPermission) && path != folder:
			return nil
		case err != nil:
			return err
		case d.IsDir():
			if hidden := strings.HasPrefix(d.Name(), ".") && path != folder; hidden || d.Name() == "node_modules" {
				return fs.SkipDir
			}
		case strings.HasSuffix(d.Name(), ".test.yaml"):
			files = append(files, path)
		}
		return nil
	})
	return files, err // in lexical order
}
