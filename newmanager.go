package netreply

import "slices"

// NewManager makes a Manager. For a Config that cannot be used it returns an error that
// joins a *FieldError for each bad field.
func NewManager(c Config) (*Manager, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	dialer := newDialer(&c)
	m := &Manager{cfg: c, wire: newWire(&c, dialer)}
	m.flow = newEngine(&c, dialer, m.wire)
	m.servers = newServers(&c)
	m.profiles = newProfileTable(c.SSLConfiguration, m.wire.CloseIdleOf)
	m.cfg.Credentials = nil // the engine has them; the Manager keeps no secrets
	return m, nil
}

// newServers lists the servers by scheme.
func newServers(c *Config) map[string]server {
	list := map[string]server{"http": &httpServer{}, "https": &httpServer{}, "unix+http": &httpServer{}, "local+http": &httpServer{}}
	for scheme, b := range c.builtInBackends() {
		list[scheme] = backendServer{b}
	}
	for scheme, b := range c.Backends {
		list[scheme] = backendServer{b}
	}
	return list
}

// servesFiles reports whether URLs of a scheme lead to files of the system by Config.FileAccess.
func (m *Manager) servesFiles(scheme string) bool {
	s, ok := m.servers[scheme].(backendServer)
	if !ok {
		return false
	}
	_, ok = s.b.(fileBackend)
	return ok
}

// SupportedSchemes lists the URL schemes that a request may have, in alphabetical order.
func (m *Manager) SupportedSchemes() []string {
	if m == nil || m.servers == nil { // not made by NewManager
		m = &Manager{servers: newServers(&Config{})}
	}
	list := make([]string, 0, len(m.servers))
	for scheme := range m.servers {
		list = append(list, scheme)
	}
	slices.Sort(list)
	return list
}
