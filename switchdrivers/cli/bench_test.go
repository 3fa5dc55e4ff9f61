package cli

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/switchbind/switchbind/fixtures/virtualswitch"
	"github.com/switchbind/switchbind/switchdrivers"
)

// farAway is a TCP proxy to address through which every byte takes delay in each direction, however many are under way.
func farAway(t testing.TB, address string, delay time.Duration) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	type piece struct {
		due  time.Time
		data []byte
	}
	pipe := func(from, to net.Conn) {
		queue := make(chan piece, 1<<16)
		wg.Go(func() {
			defer close(queue)
			for {
				b := make([]byte, 32<<10)
				n, err := from.Read(b)
				if n > 0 {
					queue <- piece{time.Now().Add(delay), b[:n]}
				}
				if err != nil {
					return
				}
			}
		})
		wg.Go(func() {
			defer to.Close()
			for p := range queue {
				time.Sleep(time.Until(p.due))
				if _, err := to.Write(p.data); err != nil {
					_, _ = io.Copy(io.Discard, from)
				}
			}
		})
	}
	wg.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", address)
			if err != nil {
				_ = near.Close()
				return
			}
			pipe(near, far)
			pipe(far, near)
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		wg.Wait()
	})
	return listener.Addr().String()
}

// BenchmarkEOSRoundTrips measures how many round trips a change on a warm session takes (the time it takes over a line of 40 ms,
// less the time over no line, divided by 40 ms), and a read.
func BenchmarkEOSRoundTrips(b *testing.B) {
	const trip = 40 * time.Millisecond
	for _, ports := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("ports=%d", ports), func(b *testing.B) {
			eos, sw := startEOS(b, 64)
			near := open(b, platform(b, "arista_eos"), sw, switchdrivers.Environment{})
			sw.Address = farAway(b, sw.Address, trip/2)
			far := open(b, platform(b, "arista_eos"), sw, switchdrivers.Environment{})
			vlan := switchdrivers.VLANID(100)
			apply := func(d *driver) time.Duration {
				before := mustRead(b, d)
				want := before.Clone()
				vlan++
				for i := range ports {
					want.Ports[fmt.Sprintf("Ethernet%d", i+1)] = switchdrivers.Access(vlan)
				}
				change := switchdrivers.Diff(before, want)
				begin := time.Now()
				if err := d.Apply(b.Context(), change); err != nil {
					b.Fatal(err)
				}
				return time.Since(begin)
			}
			apply(near)
			apply(far)
			var nearTime, farTime, readTime time.Duration
			for b.Loop() {
				nearTime += apply(near)
				farTime += apply(far)
				begin := time.Now()
				mustRead(b, far)
				readTime += time.Since(begin)
			}
			n := float64(b.N)
			b.ReportMetric(float64(farTime-nearTime)/n/float64(trip), "trips/change")
			b.ReportMetric(float64(readTime)/n/float64(trip), "trips/read")
			b.ReportMetric(float64(nearTime.Microseconds())/n, "µs/near-change")
			_ = eos
		})
	}
}

// BenchmarkEOSBurst is a burst of 64 ports to a switch that takes 1 s to log in and 30 ms for each line. The ideal is one login,
// the lines one after the other without a pause, and one read-back.
func BenchmarkEOSBurst(b *testing.B) {
	const login, perLine = time.Second, 30 * time.Millisecond
	eos, sw := startEOS(b, 64)
	eos.SetFaults(virtualswitch.Faults{LoginDelay: login, LineDelay: perLine})
	vlan := switchdrivers.VLANID(100)
	for b.Loop() {
		d := open(b, platform(b, "arista_eos"), sw, switchdrivers.Environment{})
		lines := eos.Counters().Lines
		begin := time.Now()
		before := mustRead(b, d)
		want := before.Clone()
		vlan++
		for name := range before.Ports {
			want.Ports[name] = switchdrivers.Access(vlan)
		}
		if err := d.Apply(b.Context(), switchdrivers.Diff(before, want)); err != nil {
			b.Fatal(err)
		}
		if left := switchdrivers.Diff(mustRead(b, d), want); !left.IsEmpty() {
			b.Fatal("left over")
		}
		took := time.Since(begin)
		sent := eos.Counters().Lines - lines
		b.ReportMetric(float64(sent), "lines")
		b.ReportMetric(took.Seconds()/(login+time.Duration(sent)*perLine).Seconds(), "×ideal")
		_ = d.Close()
	}
}
