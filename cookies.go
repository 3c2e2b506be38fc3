package netreply

import (
	"net/http"
)

// LoadControl says whether the Manager does something by itself or leaves it to
// the program (Qt: QNetworkRequest::LoadControl).
type LoadControl int

const (
	Automatic LoadControl = iota
	Manual
)

// CookieJar is the jar that the Manager's requests use: that of its Config, or the
// *cookies.Jar it made itself.
func (m *Manager) CookieJar() http.CookieJar { return m.cfg.CookieJar }
