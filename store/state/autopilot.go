package state

import "berth"

// Autopilot sets the configuration; with cas only while the stored one's ModifyIndex is c's.
func (t *Tx) Autopilot(idx uint64, c berth.AutopilotConfig, cas bool) bool {
	t.began()
	old := lookup[berth.AutopilotConfig](t, tableAutopilot, globalsKey())
	var was berth.AutopilotConfig
	if old != nil {
		was = *old
	}
	if cas && was.ModifyIndex != c.ModifyIndex {
		return false
	}
	c.CreateIndex, c.ModifyIndex = was.CreateIndex, was.ModifyIndex
	if old != nil && c == was {
		return true
	}
	if old == nil {
		c.CreateIndex = idx
	}
	c.ModifyIndex = idx
	t.putAutopilot(idx, &c)
	return true
}

func (t *Tx) putAutopilot(idx uint64, row *berth.AutopilotConfig) {
	t.insert(tableAutopilot, globalsKey(), row)
	t.raise(&t.g.Autopilot, idx)
}
