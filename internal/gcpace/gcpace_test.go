package gcpace

import "testing"

func TestPacer(t *testing.T) {
	const mb = 1 << 20
	p := pacer{percent: normal}
	step := func(what string, cycles, live uint64, want int) {
		t.Helper()
		if got := p.next(cycles, live); got != want {
			t.Errorf("%s: GOGC %d, want %d", what, got, want)
		}
		p.percent = want
	}
	step("idle", 0, 10*mb, 100)
	step("a burst begins", 30, 10*mb, 400)
	step("the same load, collected less often", 8, 12*mb, 400)
	step("a quarter of what is busy at normal pace", 2, 12*mb, 400)
	step("the heap grows", 4, 64*mb, 100)
	step("a heap beyond the budget", 40, 300*mb, 100)
	step("the heap is small again", 40, 32*mb, 300)
	for range calm - 1 {
		step("a pause", 0, 10*mb, 300)
	}
	step("a longer pause", 0, 10*mb, 100)
}
