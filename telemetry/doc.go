// Package telemetry holds what hopgate tells its operator: metrics, the
// access log and the program's own messages. It knows nothing of the other
// packages; they hand it plain values.
//
// Whatever runs on a request's way here allocates nothing and never blocks.
package telemetry
