package dnsproxy

// tooOld tells whether the replica has not heard from a leader for longer than answers may be
// old. Answers that are kept are built anew every maxAge, so they end that much later at most.
func (s *settings) tooOld(v View) bool {
	return s.zone.MaxStale > 0 && v.Lag() > s.zone.MaxStale
}
