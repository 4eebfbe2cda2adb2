package policytest

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"hopgate/config"
)

// Report is how the cases fared. Files and cases are in the order in which
// they were given and stand in their files, so that equal runs give equal
// reports.
type Report struct {
	Files    []File   `json:"files"`
	Cases    int      `json:"cases"`
	Passed   int      `json:"passed"`
	Failed   int      `json:"failed"`
	Coverage Coverage `json:"coverage"`

	// Color lets WriteText mark failures and differences with terminal
	// colours.
	Color bool `json:"-"`
}

// File is a test file.
type File struct {
	Name   string `json:"name"`
	Config string `json:"config"` // the configuration its cases ran against
	Cases  []Case `json:"cases"`
}

// Case is how one case fared.
type Case struct {
	Name        string          `json:"name"`
	Pos         config.Position `json:"-"`
	Line        int             `json:"line"`
	Passed      bool            `json:"passed"`
	Outcome     string          `json:"outcome"` // what the request came to, in one line
	Differences []Difference    `json:"differences,omitempty"`
}

// Difference is something that is not as expected.
type Difference struct {
	Field    string `json:"field"` // which key of expect
	Expected string `json:"expected"`
	Actual   string `json:"actual"`
}

// lines shows a difference to people.
func (d *Difference) lines() []string {
	var lines []string
	if strings.Contains(d.Expected, "\n") || strings.Contains(d.Actual, "\n") {
		lines = append(lines, d.Field+" (- expected, + actual)")
		for _, l := range diffLines(d.Expected, d.Actual) {
			lines = append(lines, "  "+l)
		}
	} else {
		lines = append(lines, d.Field, "  - "+orNone(d.Expected), "  + "+orNone(d.Actual))
	}
	return lines
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

const (
	red   = "\x1b[31m"
	green = "\x1b[32m"
	plain = "\x1b[0m"
)

func (r *Report) paint(color, s string) string {
	if !r.Color {
		return s
	}
	return color + s + plain
}

// WriteText writes the report for people: the cases that failed with what
// differs (lines marked - are expected, + actual), with verbose also those
// that passed, with coverage what no case exercised, and a summary line.
func (r *Report) WriteText(w io.Writer, verbose, coverage bool) error {
	out := &strings.Builder{}
	for _, f := range r.Files {
		if verbose {
			fmt.Fprintln(out, f.Name)
		}
		for _, c := range f.Cases {
			if c.Passed {
				if verbose {
					fmt.Fprintf(out, "  %s  %s\n", r.paint(green, "pass"), c.Name)
				}
				continue
			}
			indent := ""
			if verbose {
				indent = "  "
				fmt.Fprintf(out, "  %s  %s (line %d)\n", r.paint(red, "FAIL"), c.Name, c.Line)
			} else {
				fmt.Fprintf(out, "%s  %s: %s\n", r.paint(red, "FAIL"), c.Pos, c.Name)
			}
			fmt.Fprintf(out, "%s      it came to: %s\n", indent, c.Outcome)
			for i := range c.Differences {
				for _, l := range c.Differences[i].lines() {
					switch t := strings.TrimLeft(l, " "); {
					case strings.HasPrefix(t, "-"):
						l = r.paint(red, l)
					case strings.HasPrefix(t, "+"):
						l = r.paint(green, l)
					}
					fmt.Fprintf(out, "%s      %s\n", indent, l)
				}
			}
		}
	}
	if coverage {
		r.writeCoverage(out)
	}
	fmt.Fprintf(out, "%d passed, %d failed\n", r.Passed, r.Failed)
	_, err := io.WriteString(w, out.String())
	return err
}

func (r *Report) writeCoverage(w *strings.Builder) {
	fmt.Fprintf(w, "coverage: %.1f%% (%d of %d sides)\n", r.Coverage.Percent, r.Coverage.Exercised, r.Coverage.Sides)
	for _, g := range r.Coverage.Missing {
		fmt.Fprintf(w, "  %s: %s\n", g.Pos, g.Text())
	}
}

// WriteJSON writes the report as one JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// The JUnit report, as CI systems read it.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name      string        `xml:"name,attr"`
		ClassName string        `xml:"classname,attr"`
		File      string        `xml:"file,attr"`
		Line      int           `xml:"line,attr"`
		Failure   *junitFailure `xml:"failure"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the report as JUnit XML, a test suite for each file.
func (r *Report) WriteJUnit(w io.Writer) error {
	doc := junitSuites{Tests: r.Cases, Failures: r.Failed}
	for _, f := range r.Files {
		s := junitSuite{Name: f.Name, Tests: len(f.Cases)}
		for _, c := range f.Cases {
			j := junitCase{Name: c.Name, ClassName: f.Name, File: f.Name, Line: c.Line}
			if !c.Passed {
				s.Failures++
				var names []string
				lines := []string{"it came to: " + c.Outcome}
				for i := range c.Differences {
					names = append(names, c.Differences[i].Field)
					lines = append(lines, c.Differences[i].lines()...)
				}
				j.Failure = &junitFailure{
					Message: "not as expected: " + strings.Join(names, ", "),
					Text:    strings.Join(lines, "\n"),
				}
			}
			s.Cases = append(s.Cases, j)
		}
		doc.Suites = append(doc.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(doc); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
