package main

import (
	"context"
	"errors"
	"time"

	"berth/internal/backoff"
	"berth/internal/config"
)

// errMoved ends a run of the agent whose host has another address now. What the agent is bound to,
// tells the others and has registered all hangs on it, so it starts again, in the same process.
var errMoved = errors.New("this host has another address")

// addressPoll is how often the host's addresses are looked at.
const addressPoll = 3 * time.Second

// watchAddress ends with errMoved when the advertised address is not this host's any more and the
// configuration gives another one, twice in a row: DHCP and VPNs take an address before they give one.
// An address that never was the host's (NAT) is not watched, nor that of a dev agent, whose
// data would not outlive the start.
func (d *daemon) watchAddress(ctx context.Context) error {
	log := d.part("address")
	on, err := d.cfg.AdvertisedOn()
	if d.cfg.Dev || err == nil && on == "" {
		<-ctx.Done()
		return nil
	}
	now := d.cfg.Addrs.Advertise
	holds := func() bool { // a host of many containers has many interfaces: one is asked while it has the address
		if on != "" && config.InterfaceHas(on, now) {
			return true
		}
		on, err = d.cfg.AdvertisedOn()
		return err != nil || on != ""
	}
	candidate, said := now, ""
	for backoff.Sleep(ctx, addressPoll) == nil {
		if holds() {
			candidate, said = now, ""
			continue
		}
		next, err := d.cfg.Reload()
		switch {
		case err != nil:
			if said != err.Error() {
				said = err.Error()
				log.Warn("this host has lost the address it is known by, and no other can be chosen", "address", now, "err", err)
			}
		case next.Addrs.Advertise == now:
		case next.Addrs.Advertise == candidate:
			log.Warn("this host's address has changed, starting again with the new one", "from", now, "to", candidate)
			return errMoved
		default:
			candidate = next.Addrs.Advertise
		}
	}
	return nil
}
