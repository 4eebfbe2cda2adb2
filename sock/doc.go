// Package sock reads and writes sockets at the lowest cost: by system calls
// that cannot wait, of which the scheduler need not be told. Waiting is left
// to the runtime's poller.
//
// It imports nothing of hopgate.
package sock
