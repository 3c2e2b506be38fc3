// Package storetest tests whether a Store does what httpcache.Store says.
//
//	func TestStore(t *testing.T) {
//		storetest.Test(t, storetest.Subject{New: func(t testing.TB) httpcache.Store { return mystore.New() }})
//	}
//
// Each requirement is a subtest with its own Store.
package storetest

import (
	"testing"

	"github.com/netreply/netreply/httpcache"
)

// Subject is the kind of Store to test. Its functions register with t.Cleanup whatever has to
// be closed. All but New may be nil: what they are needed for is skipped.
type Subject struct {
	// New returns an empty Store that has room for at least 32 MiB.
	New func(t testing.TB) httpcache.Store
	// Limited returns an empty Store that has room for about size bytes.
	Limited func(t testing.TB, size int64) httpcache.Store
	// Reopen closes a Store of New, if it can be closed, and returns one that has what was
	// stored, as after a restart of the program.
	Reopen func(t testing.TB, s httpcache.Store) httpcache.Store
	// Join returns another Store that shares its entries with one of New, as another process
	// would have it.
	Join func(t testing.TB, s httpcache.Store) httpcache.Store
	// Damage changes what a Store of New has stored, as a broken disk would: at least
	// one byte of each body.
	Damage func(t testing.TB, s httpcache.Store)
}

// requirement is one thing that a Store must do.
type requirement struct {
	name  string
	check func(t testing.TB, s Subject)
}

// requirements are in the order in which they are tested: what others build on comes first.
var requirements = []requirement{
	{"Empty", empty},
	{"RoundTrip", roundTrip},
	{"WrongSizeAnnounced", wrongSizeAnnounced},
	{"AnyKey", anyKey},
	{"AnyMeta", anyMeta},
	{"BytesAreCopied", bytesAreCopied},
	{"NothingBeforeCommit", nothingBeforeCommit},
	{"CloseWithoutCommit", closeWithoutCommit},
	{"Replace", replace},
	{"Variants", variants},
	{"Update", update},
	{"UpdateOnlyCurrent", updateOnlyCurrent},
	{"UpdateOfOtherStore", updateOfOtherStore},
	{"Remove", remove},
	{"RemovePrefix", removePrefix},
	{"RemoveDoesNotStopWriter", removeDoesNotStopWriter},
	{"OpenBodyStays", openBodyStays},
	{"EntryStays", entryStays},
	{"ReadAt", readAt},
	{"ReadWhileWritten", readWhileWritten},
	{"ReadAfterCommit", readAfterCommit},
	{"LargeBody", largeBody},
	{"Memo", memo},
	{"EndedContext", endedContext},
	{"ConcurrentReadAt", concurrentReadAt},
	{"ConcurrentReplacement", concurrentReplacement},
	{"ConcurrentRemoval", concurrentRemoval},
	{"ConcurrentUpdate", concurrentUpdate},
	{"List", list},
	{"Size", size},
	{"Full", full},
	{"TooLarge", tooLarge},
	{"FullOfUnfinished", fullOfUnfinished},
	{"Reopen", reopen},
	{"ReopenUnfinished", reopenUnfinished},
	{"Shared", shared},
	{"SharedUpdate", sharedUpdate},
	{"SharedReplacement", sharedReplacement},
	{"Reserve", reserve},
	{"Damage", damage},
}

// Test tests all requirements.
func Test(t *testing.T, s Subject) {
	for _, r := range requirements {
		t.Run(r.name, func(t *testing.T) { r.check(t, s) })
	}
}
