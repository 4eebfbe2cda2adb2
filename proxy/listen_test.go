package proxy

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestListenOnSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gate.sock")
	ln, err := Listen("unix:"+path, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen("unix:"+path, false); err == nil {
		t.Error("took the socket of a living process")
	}
	// A killed process leaves its socket behind.
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	ln, err = Listen("unix:"+path, false)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o660 {
		t.Errorf("socket mode %v", got)
	}
	_ = ln.Close()
}

func TestListenKeepsFilesThatAreNoSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen("unix:"+path, false); err == nil {
		t.Fatal("listens on a plain file")
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "x" {
		t.Error("the file is gone")
	}
}

// TestListenShared lets two listeners have one address where both say so.
func TestListenShared(t *testing.T) {
	one, err := Listen("127.0.0.1:0", true)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	two, err := Listen(one.Addr().String(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	if three, err := Listen(one.Addr().String(), false); err == nil {
		three.Close()
		t.Error("a listener that does not share got the address")
	}
}
