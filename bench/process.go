package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a program that the comparison started, with all its children.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string // file with what it printed
	done chan struct{}
}

// ticks is how many units of /proc/PID/stat's times make a second: USER_HZ,
// which is 100 on every Linux port of Go.
const ticks = 100

// start runs a program on the given cores. It ends with this process, too,
// where it is not stopped before.
func start(name, dir string, cores string, argv ...string) (*process, error) {
	argv = append([]string{"taskset", "-c", cores}, argv...)
	p := &process{name: name, log: filepath.Join(dir, fileName(name)+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("can't start %s: %w", name, err)
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
}

// stop ends the program and everything that it started.
func (p *process) stop() {
	pid := p.cmd.Process.Pid
	syscall.Kill(pid, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(3 * time.Second):
	}
	syscall.Kill(-pid, syscall.SIGKILL) // the group, which start made: children that outlived it
	<-p.done
}

func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// complaint gives the end of what the program printed.
func (p *process) complaint() string {
	text, _ := os.ReadFile(p.log)
	return string(bytes.TrimSpace(text[max(0, len(text)-2000):]))
}

// spent is CPU time.
type spent struct{ user, system time.Duration }

// cpu gives the time that the program and its descendants have spent so far,
// threads that have ended included.
func (p *process) cpu() (spent, error) {
	var total spent
	for _, pid := range p.tree() {
		s, err := readStat(pid)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return spent{}, err
		}
		total.user += s.user
		total.system += s.system
	}
	return total, nil
}

// resident gives the memory that the program and its descendants have in
// RAM, in bytes.
func (p *process) resident() int64 {
	var total int64
	for _, pid := range p.tree() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			continue
		}
		if f := strings.Fields(string(text)); len(f) > 1 {
			pages, _ := strconv.ParseInt(f[1], 10, 64)
			total += pages * int64(os.Getpagesize())
		}
	}
	return total
}

// tree lists the program and its descendants.
func (p *process) tree() []int {
	parents := map[int][]int{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if s, err := readStat(pid); err == nil {
			parents[s.parent] = append(parents[s.parent], pid)
		}
	}
	list := []int{p.cmd.Process.Pid}
	for i := 0; i < len(list); i++ {
		list = append(list, parents[list[i]]...)
	}
	return list
}

type stat struct {
	parent int
	spent
}

// readStat reads /proc/PID/stat (proc(5)).
func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(text)
}

func parseStat(text []byte) (stat, error) {
	// The program's name, in parentheses, may hold anything.
	end := bytes.LastIndexByte(text, ')')
	f := strings.Fields(string(text[end+1:]))
	if end < 0 || len(f) < 13 {
		return stat{}, fmt.Errorf("can't read %q as /proc/PID/stat", text)
	}
	parent, e1 := strconv.Atoi(f[1])
	user, e2 := strconv.ParseInt(f[11], 10, 64)
	system, e3 := strconv.ParseInt(f[12], 10, 64)
	return stat{parent, spent{time.Duration(user) * time.Second / ticks, time.Duration(system) * time.Second / ticks}}, errors.Join(e1, e2, e3)
}
