package flow

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/netreply/netreply/internal/testserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testserver.Lingering{M: m}) }
