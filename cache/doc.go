// Package cache keeps answers of upstreams for a short time and gives them
// to those who ask for the same thing in the same scope.
//
// # Use
//
// A proxy asks [Cache.Lookup] what there is for a [Query]:
//
//   - Fresh and Stale: it answers with Found.Answer, by way of
//     [Answer.Reply], which knows of conditions and ranges. Where
//     Found.Refresh is set it also calls [Cache.Renew].
//   - Miss and Expired: it calls [Cache.Do], which fetches once for all who
//     ask meanwhile, validates what is stored, and stores what may be. A
//     long body is given to all of them while it arrives ([Arrival]). Where
//     that fails, Expired has an answer to give instead; and since a fetch
//     runs on without those who wait for it, whoever has one may also give
//     up waiting before.
//   - OnlyIfCached: the answer is 504. Bypass: the request is forwarded.
//
// After an answer to an unsafe request it calls [Cache.Invalidate].
//
// # Keys and scopes
//
// The caller's key holds everything that separates two answers: route,
// method, host, target, and the values of the route's scope. The package
// compares whole keys; a hash only finds the place. Below a key it keeps the
// variants that the answers' Vary fields ask for (RFC 9111 section 4.1).
//
// # Rules
//
// By an operator's TTL an answer is fresh for that time, whatever it says,
// but for what would give one caller's answer to another: no-store, private
// in public scope, Set-Cookie, Vary: *, and statuses that are no lasting
// answer. With Origin the answer is followed, as by a shared cache of RFC
// 9111, RFC 5861 and RFC 9213. A rule that is scoped to one user may keep
// what is private; a rule that is scoped to several may not.
//
// # Memory
//
// Three parts work together:
//
//   - The index is the authority: a sharded map from a key's hash to its
//     slot, the key whole and the answers. What is put there is found by the
//     next request, what is taken out by none.
//   - The window is a queue of the slots stored last, a sixteenth of the
//     memory. It keeps a new answer for a while whatever its popularity.
//   - Ristretto judges the slots that leave the window: it counts how often
//     each key is asked for, admits a slot if it is worth more than those it
//     would displace, and says which slots go when memory runs out.
//
// So ristretto's late visibility, its dropped writes and its keys without
// collision check decide about memory alone, never about what is found. A
// slot's cost is what the allocator takes for all of it, the shares of the
// maps included; see [Options.MaxBytes].
//
// # Purges
//
// A purge counts up a number; what it reaches is known by comparing numbers
// when an answer is looked up. So it takes the same time however much is
// stored, has its effect before it returns, and reaches fetches that began
// before it. See [Cache.Purge].
//
// # Time
//
// An answer's time in the cache is the larger of what the wall clock and the
// monotonic clock say: a wall clock that is set back makes nothing younger,
// and a machine that was suspended finds its answers as old as they are. A
// clock that went back without a monotonic reading beside it makes an answer
// unusable until it is fetched anew.
package cache
