package conformance

import (
	"context"
	"path"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/netreply/netreply/internal/conformance/client"
	"github.com/netreply/netreply/internal/conformance/compare"
	"github.com/netreply/netreply/internal/conformance/pki"
	"github.com/netreply/netreply/internal/conformance/runner"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestQt plays every scenario and compares with what Qt did, down to which
// signals come in which order with which arguments.
func TestQt(t *testing.T) {
	cases, err := Cases()
	require.NoError(t, err)
	require.NotEmpty(t, cases)
	waivers, err := compare.ParseWaivers(Waivers)
	require.NoError(t, err)
	p, err := pki.New(t.TempDir())
	require.NoError(t, err)
	for _, c := range cases {
		t.Run(c.Scenario.Name, func(t *testing.T) {
			t.Parallel()
			// Qt's own races make some scenarios differ between its runs, and a busy
			// machine adds its own: what differs three times differs.
			var left []compare.Diff
			for range 3 {
				got, err := runner.Play(context.Background(), c.Scenario, p, client.Client{})
				require.NoError(t, err)
				left = nil
				for _, d := range compare.Traces(c.Trace, got, got.Unstable) {
					if d.Severity <= compare.Signals && !compare.Waived(waivers, c.Scenario.Name, d.Path) {
						left = append(left, d)
					}
				}
				if len(left) == 0 {
					return
				}
			}
			for _, d := range left {
				t.Error(d)
			}
		})
	}
}

// TestWaivers finds waivers for scenarios that do not exist, or for all of a
// group.
func TestWaivers(t *testing.T) {
	cases, err := Cases()
	require.NoError(t, err)
	waivers, err := compare.ParseWaivers(Waivers)
	require.NoError(t, err)
	size, groups := map[string]int{}, map[string]map[string]bool{}
	for _, c := range cases {
		size[c.Group()]++
	}
	for _, w := range waivers {
		found := false
		for _, c := range cases {
			if ok, _ := path.Match(w.Scenario, c.Scenario.Name); ok {
				found = true
				if w.Field == "*" {
					if groups[c.Group()] == nil {
						groups[c.Group()] = map[string]bool{}
					}
					groups[c.Group()][c.Scenario.Name] = true
				}
			}
		}
		require.True(t, found, "waiver for a scenario that is not there: %+v", w)
	}
	for g, names := range groups {
		require.Less(t, len(names), size[g], "every scenario of group %s is waived", g)
	}
}

func TestWaiverMatch(t *testing.T) {
	w := compare.Waiver{Scenario: "life-*", Field: "/replies/*/url"}
	require.True(t, w.Match("life-200", "/replies/0/url"))
	require.True(t, w.Match("life-200", "/replies/0/url/x"))
	require.False(t, w.Match("life-200", "/replies/0/uri"))
	require.False(t, w.Match("act-1", "/replies/0/url"))
}
