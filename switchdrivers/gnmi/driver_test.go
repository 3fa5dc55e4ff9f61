package gnmi

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	pb "github.com/openconfig/gnmi/proto/gnmi"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/switchbind/switchbind/switchdrivers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func oneChange() switchdrivers.Change {
	return switchdrivers.Change{
		VLANs: []switchdrivers.VLANChange{{ID: 110, To: &switchdrivers.VLAN{Name: "a"}}},
		Ports: []switchdrivers.PortChange{
			{Name: "Ethernet1", To: switchdrivers.Access(110)}, {Name: "Ethernet10", To: switchdrivers.Access(110)},
			{Name: "Ethernet1/1", To: switchdrivers.Access(110)},
		},
	}
}

func kindOf(err error) string {
	var (
		unreachable *switchdrivers.UnreachableError
		auth        *switchdrivers.AuthError
		key         *switchdrivers.HostKeyError
		busy        *switchdrivers.BusyError
		refused     *switchdrivers.RefusedError
		unreadable  *switchdrivers.UnreadableError
	)
	switch {
	case err == nil:
		return "nil"
	case errors.As(err, &unreachable) && unreachable.Timeout:
		return "timeout"
	case errors.As(err, &unreachable):
		return "unreachable"
	case errors.As(err, &auth):
		return "auth"
	case errors.As(err, &key):
		return "key"
	case errors.As(err, &busy):
		return "busy"
	case errors.As(err, &refused):
		return "refused"
	case errors.As(err, &unreadable):
		return "unreadable"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	}
	return err.Error()
}

func TestEveryStatusHasItsError(t *testing.T) {
	for _, c := range []struct {
		code               codes.Code
		words              string
		onCaps, get, onSet string
	}{
		{codes.Unauthenticated, "no", "auth", "auth", "auth"},
		{codes.PermissionDenied, "no", "auth", "auth", "auth"},
		{codes.Unavailable, "restarting", "unreachable", "unreachable", "unreachable"},
		{codes.Canceled, "stopping", "unreachable", "unreachable", "unreachable"},
		{codes.DeadlineExceeded, "slow", "timeout", "timeout", "timeout"},
		{codes.ResourceExhausted, "rate limit reached", "busy", "busy", "busy"},
		{codes.FailedPrecondition, "a confirmation is pending", "busy", "busy", "busy"},
		{codes.Aborted, "configuration is locked by another user", "busy", "busy", "busy"},
		{codes.Aborted, "failed to apply: % Invalid input", "busy", "busy", "refused"},
		{codes.InvalidArgument, "bad value", "unreadable", "unreadable", "refused"},
		{codes.NotFound, "no such path", "unreadable", "unreadable", "refused"},
		{codes.Internal, "crash", "unreadable", "unreadable", "refused"},
		{codes.Unknown, "?", "unreadable", "unreadable", "refused"},
		{codes.OutOfRange, "?", "unreadable", "unreadable", "refused"},
		{codes.ResourceExhausted, "grpc: received message larger than max (5 vs. 4)", "unreadable", "unreadable", "refused"},
	} {
		t.Run(c.code.String()+" "+c.words, func(t *testing.T) {
			fail := status.Error(c.code, c.words)
			capable := &fakeTarget{onCaps: func() error { return fail }}
			_, err := open(t, plain(capable.serve(t))).Read(t.Context(), switchdrivers.Scope{})
			if got := kindOf(err); got != c.onCaps {
				t.Errorf("Capabilities: %s, want %s", got, c.onCaps)
			}
			target := &fakeTarget{
				onGet: func(*pb.GetRequest) (*pb.GetResponse, error) { return nil, fail },
				onSet: func(*pb.SetRequest) (*pb.SetResponse, error) { return nil, fail },
			}
			driver := open(t, plain(target.serve(t)))
			_, err = driver.Read(t.Context(), switchdrivers.Scope{Ports: []string{"Ethernet1"}})
			if got := kindOf(err); got != c.get {
				t.Errorf("Get: %s, want %s", got, c.get)
			}
			if driver.session != nil {
				t.Error("the session was kept after an error")
			}
			err = driver.Apply(t.Context(), oneChange())
			if got := kindOf(err); got != c.onSet {
				t.Errorf("Set: %s, want %s", got, c.onSet)
			}
			if driver.session != nil {
				t.Error("the session was kept after an error")
			}
			if _, _, sets := target.counts(); sets != 1 {
				t.Errorf("%d Sets: the driver must not try again", sets)
			}
		})
	}
}

func TestCapabilitiesNeedNotBeSupported(t *testing.T) {
	target := &fakeTarget{onCaps: func() error { return status.Error(codes.Unimplemented, "no") }}
	driver := open(t, plain(target.serve(t)))
	if err := driver.Apply(t.Context(), oneChange()); err != nil {
		t.Fatal(err)
	}
	if _, err := driver.Identify(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestARefusalNamesItsPort(t *testing.T) {
	for words, want := range map[string]switchdrivers.Rejection{
		"interface[name=Ethernet1]: no": {Port: "Ethernet1"},
		"/interfaces/interface[name=Ethernet1/1]/ethernet/switched-vlan: invalid": {Port: "Ethernet1/1",
			Line: `replace /interfaces/interface[name=Ethernet1/1]/ethernet/switched-vlan {"openconfig-vlan:config":{"interface-mode":"ACCESS","access-vlan":110}}`},
		"Ethernet10: not a switchport":             {Port: "Ethernet10"},
		"Ethernet10. Not a switchport":             {Port: "Ethernet10"},
		"no such interface Ethernet1":              {Port: "Ethernet1"},
		"Ethernet1 and Ethernet10 are wrong":       {},
		"Ethernet100 is not yours":                 {},
		"Ethernet1:1 is not yours":                 {},
		"Ethernet1.100 is not yours":               {},
		"MyEthernet1 is not yours":                 {},
		"Ethernet1Ethernet1":                       {},
		"Ethernet1/ethernet: not yours":            {Port: "Ethernet1"},
		"VLAN 110 cannot be used":                  {},
		"vlans/vlan[vlan-id=110]/config: bad name": {VLAN: 110},
		"commit failed":                            {},
		"":                                         {},
	} {
		target := &fakeTarget{onSet: func(*pb.SetRequest) (*pb.SetResponse, error) { return nil, status.Error(codes.InvalidArgument, words) }}
		err := open(t, plain(target.serve(t))).Apply(t.Context(), oneChange())
		var refused *switchdrivers.RefusedError
		if !errors.As(err, &refused) || len(refused.Rejections) != 1 {
			t.Fatalf("%q: %v", words, err)
		}
		got := refused.Rejections[0]
		if got.Port != want.Port || got.VLAN != want.VLAN || want.Line != "" && want.Line != got.Line {
			t.Errorf("%q: blamed %+v, want %+v", words, got, want)
		}
		if !strings.Contains(got.Words, words) || got.Line == "" {
			t.Errorf("%q: told as %+v", words, got)
		}
	}
}

// FuzzBlame: whatever a target says, the port that is blamed was named and no other one was.
func FuzzBlame(f *testing.F) {
	f.Add("interface[name=Ethernet1]: no")
	f.Add("Ethernet1/1, Ethernet1:1 and Ethernet10.")
	f.Add("\xff Ethernet1\x00 vlan[vlan-id=110] \u202e")
	ops, err := OpenConfig().operations("leaf1", oneChange())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, words string) {
		got := blame(ops, words)
		if got.Port != "" && !strings.Contains(words, got.Port) || got.Line == "" {
			t.Errorf("%q: %+v", words, got)
		}
		_ = (&switchdrivers.RefusedError{Switch: "leaf1", Rejections: []switchdrivers.Rejection{got}}).Error()
	})
}

func TestAnErrorInsideASuccessIsARefusal(t *testing.T) {
	elems := []*pb.PathElem{e("interfaces"), e("interface", "name", "Ethernet10"), e("config")}
	target := &fakeTarget{onSet: func(*pb.SetRequest) (*pb.SetResponse, error) {
		return &pb.SetResponse{Response: []*pb.UpdateResult{
			{Path: &pb.Path{Elem: []*pb.PathElem{e("interfaces"), e("interface", "name", "Ethernet1")}}, Message: &pb.Error{Code: uint32(codes.Aborted)}},
			{Path: &pb.Path{Elem: elems}, Message: &pb.Error{Code: uint32(codes.InvalidArgument), Message: "no"}},
		}}, nil
	}}
	err := open(t, plain(target.serve(t))).Apply(t.Context(), oneChange())
	var refused *switchdrivers.RefusedError
	if !errors.As(err, &refused) || len(refused.Rejections) != 1 || refused.Rejections[0].Port != "Ethernet10" {
		t.Errorf("got %v", err)
	}
}

var errEmpty = errors.New("an empty answer")

const fewPorts = `{"interfaces":{"interface":[{"name":"Ethernet1","config":{"name":"Ethernet1"}},{"name":"Ethernet2","config":{"name":"Ethernet2"}}]}}`

// A target that wants to be asked in its own way is asked until it answers, and from then on at once.
func TestHowToAskIsLearnt(t *testing.T) {
	isWhole := func(r *pb.GetRequest) bool { return len(r.Path[0].Elem) == 1 }
	hasWildcard := func(r *pb.GetRequest) bool {
		return slices.ContainsFunc(r.Path, func(p *pb.Path) bool { return len(p.Elem) > 1 && p.Elem[1].Key["name"] == "*" })
	}
	for _, c := range []struct {
		name          string
		refuse        func(*pb.GetRequest) error
		ports         []string
		first, second int // Gets
	}{
		{"anything goes", func(*pb.GetRequest) error { return nil }, []string{"Ethernet1"}, 1, 1},
		{"the whole switch", func(*pb.GetRequest) error { return nil }, nil, 1, 1},
		{"no type CONFIG", func(r *pb.GetRequest) error {
			if r.Type == pb.GetRequest_CONFIG {
				return status.Error(codes.InvalidArgument, "unsupported type")
			}
			return nil
		}, []string{"Ethernet1"}, 2, 1},
		{"no type CONFIG, unimplemented", func(r *pb.GetRequest) error {
			if r.Type == pb.GetRequest_CONFIG {
				return status.Error(codes.Unimplemented, "unsupported type")
			}
			return nil
		}, nil, 2, 1},
		{"no wildcards", func(r *pb.GetRequest) error {
			if hasWildcard(r) {
				return status.Error(codes.InvalidArgument, "wildcard")
			}
			return nil
		}, []string{"Ethernet1"}, 3, 1},
		{"neither", func(r *pb.GetRequest) error {
			if hasWildcard(r) || r.Type == pb.GetRequest_CONFIG {
				return status.Error(codes.InvalidArgument, "no")
			}
			return nil
		}, []string{"Ethernet1"}, 4, 1},
		{"one port is absent", func(r *pb.GetRequest) error {
			if !isWhole(r) {
				return status.Error(codes.NotFound, "Ethernet9")
			}
			return nil
		}, []string{"Ethernet1", "Ethernet9"}, 2, 2},
		{"no LAG is not found", func(r *pb.GetRequest) error {
			if hasWildcard(r) {
				return status.Error(codes.NotFound, "aggregate-id")
			}
			return nil
		}, []string{"Ethernet1"}, 2, 1},
		{"an absent port is an empty answer", func(r *pb.GetRequest) error {
			if !isWhole(r) {
				return errEmpty
			}
			return nil
		}, []string{"Ethernet9"}, 2, 2},
		{"type CONFIG is an empty answer", func(r *pb.GetRequest) error {
			if r.Type == pb.GetRequest_CONFIG {
				return errEmpty
			}
			return nil
		}, nil, 2, 1},
		{"no VLAN table is not found", func(r *pb.GetRequest) error {
			if slices.ContainsFunc(r.Path, func(p *pb.Path) bool { return p.Elem[0].Name == "network-instances" }) {
				return status.Error(codes.NotFound, "vlans")
			}
			return nil
		}, nil, 3, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := &fakeTarget{}
			target.onGet = func(r *pb.GetRequest) (*pb.GetResponse, error) {
				switch err := c.refuse(r); err {
				case nil:
					return answer(jsonAt(fewPorts)), nil
				case errEmpty:
					return &pb.GetResponse{}, nil
				default:
					return nil, err
				}
			}
			driver := open(t, plain(target.serve(t)))
			for round, want := range []int{c.first, c.second} {
				_, before, _ := target.counts()
				state, err := driver.Read(t.Context(), switchdrivers.Scope{Ports: c.ports})
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := state.Ports["Ethernet1"]; !ok {
					t.Errorf("round %d: Ethernet1 is missing", round)
				}
				if _, ok := state.Ports["Ethernet9"]; ok {
					t.Errorf("round %d: Ethernet9 is there", round)
				}
				if _, after, _ := target.counts(); after-before != want {
					t.Errorf("round %d: %d Gets, want %d", round, after-before, want)
				}
			}
			if caps, _, _ := target.counts(); caps != 1 {
				t.Errorf("%d logins", caps)
			}
		})
	}
}

func TestAnswersThatCannotBeReadAreErrors(t *testing.T) {
	for name, response := range map[string]*pb.GetResponse{
		"not JSON":    answer(jsonAt(`{"x":`)),
		"protobuf":    answer(&pb.Update{Path: &pb.Path{}, Val: &pb.TypedValue{Value: &pb.TypedValue_ProtoBytes{ProtoBytes: []byte("x")}}}),
		"nothing":     {},
		"no port":     answer(jsonAt(`{"interfaces":{"interface":[{"name":"Loopback0","config":{"name":"Loopback0"}}]}}`)),
		"strange key": answer(jsonAt(`{}`, e("interfaces")), jsonAt(`{"x":1}`, e("interfaces"), e("interface", "id", "7"))),
	} {
		target := &fakeTarget{onGet: func(*pb.GetRequest) (*pb.GetResponse, error) { return response, nil }}
		_, err := open(t, plain(target.serve(t))).Read(t.Context(), switchdrivers.Scope{})
		if got := kindOf(err); got != "unreadable" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheSessionStaysWarmAndIsMadeAnewAfterAnError(t *testing.T) {
	fail := true
	target := &fakeTarget{onSet: func(*pb.SetRequest) (*pb.SetResponse, error) {
		if fail {
			return nil, status.Error(codes.InvalidArgument, "no")
		}
		return &pb.SetResponse{}, nil
	}}
	driver := open(t, plain(target.serve(t)))
	for range 3 {
		if _, err := driver.Read(t.Context(), switchdrivers.Scope{}); err != nil {
			t.Fatal(err)
		}
	}
	if caps, _, _ := target.counts(); caps != 1 {
		t.Errorf("%d logins for three reads", caps)
	}
	if err := driver.Apply(t.Context(), oneChange()); kindOf(err) != "refused" {
		t.Fatal(err)
	}
	fail = false
	if err := driver.Apply(t.Context(), oneChange()); err != nil {
		t.Fatal(err)
	}
	if caps, _, _ := target.counts(); caps != 2 {
		t.Errorf("%d logins, want 2", caps)
	}
}

func TestAnEmptyChangeSendsNothing(t *testing.T) {
	driver := open(t, plain("127.0.0.1:1"))
	if err := driver.Apply(t.Context(), switchdrivers.Change{}); err != nil {
		t.Error(err)
	}
	if err := driver.Save(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCredentialsAreSentAndNeverTold(t *testing.T) {
	const secret = "hunter2-hunter2"
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	target := &fakeTarget{onSet: func(*pb.SetRequest) (*pb.SetResponse, error) {
		return nil, status.Error(codes.Unauthenticated, "user admin, password "+secret+" refused")
	}}
	sw := plain(target.serve(t))
	sw.Credentials = switchdrivers.Credentials{Username: "admin", PasswordFile: file}
	var mutex sync.Mutex
	var told []string
	driver, err := OpenConfig().Open(sw, switchdrivers.Environment{Trace: func(direction, text string) {
		mutex.Lock()
		defer mutex.Unlock()
		told = append(told, direction+" "+text)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer driver.Close()
	err = driver.Apply(t.Context(), oneChange())
	if kindOf(err) != "auth" {
		t.Fatal(err)
	}
	if !cmp.Equal(target.login, []string{"admin", secret}) {
		t.Errorf("logged in as %q", target.login)
	}
	if all := strings.Join(told, "\n") + err.Error(); strings.Contains(all, secret) {
		t.Errorf("told the secret: %s", all)
	}
	if len(told) < 2 {
		t.Errorf("traced %q", told)
	}
	// A password that cannot be read is for the operator, and nobody is asked.
	sw.Credentials.PasswordFile = file + ".gone"
	if _, err := open(t, sw).Read(t.Context(), switchdrivers.Scope{}); kindOf(err) != "auth" {
		t.Error(err)
	}
}

func TestADeadAddressIsUnreachable(t *testing.T) {
	if _, err := open(t, plain("127.0.0.1:1")).Read(t.Context(), switchdrivers.Scope{}); kindOf(err) != "unreachable" {
		t.Error(err)
	}
}

// A target that takes the request and says nothing is given up at the limit, whichever request it is.
func TestASilentTargetIsGivenUp(t *testing.T) {
	silent := make(chan struct{})
	defer close(silent)
	for name, target := range map[string]*fakeTarget{
		"Capabilities": {onCaps: func() error { <-silent; return nil }},
		"Get":          {onGet: func(*pb.GetRequest) (*pb.GetResponse, error) { <-silent; return nil, nil }},
		"Set":          {onSet: func(*pb.SetRequest) (*pb.SetResponse, error) { <-silent; return nil, nil }},
	} {
		sw := plain(target.serve(t))
		switch name {
		case "Capabilities":
			sw.Timeouts.Connect = 50 * time.Millisecond
		case "Get":
			sw.Timeouts.Command = 50 * time.Millisecond
		case "Set":
			sw.Timeouts.Commit = 50 * time.Millisecond
		}
		driver := open(t, sw)
		var err error
		if name == "Set" {
			err = driver.Apply(t.Context(), oneChange())
		} else {
			_, err = driver.Read(t.Context(), switchdrivers.Scope{})
		}
		if kindOf(err) != "timeout" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACancelledCallerGetsItsOwnError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	defer close(release)
	target := &fakeTarget{onSet: func(*pb.SetRequest) (*pb.SetResponse, error) { cancel(); <-release; return nil, nil }}
	driver := open(t, plain(target.serve(t)))
	if err := driver.Apply(ctx, oneChange()); kindOf(err) != "cancelled" {
		t.Error(err)
	}
}

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"leaf1": "leaf1:9339", "leaf1:6030": "leaf1:6030", "192.0.2.1": "192.0.2.1:9339", "2001:db8::1": "[2001:db8::1]:9339",
		"[2001:db8::1]": "[2001:db8::1]:9339", "[2001:db8::1]:6030": "[2001:db8::1]:6030",
	} {
		if got, err := dialAddress(in); err != nil || got != want {
			t.Errorf("%q is %q, %v", in, got, err)
		}
	}
	for _, bad := range []string{"", "a:1,b:2", "unix:///run/x", "a b:1", "a\n:1"} {
		if _, err := OpenConfig().Open(switchdrivers.Switch{Address: bad}, switchdrivers.Environment{}); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestIdentify(t *testing.T) {
	target := &fakeTarget{}
	got, err := open(t, plain(target.serve(t))).Identify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := "gNMI 0.7.0, JSON_IETF, 2 models, openconfig-vlan 3.2.2, models by Arista Networks <http://arista.com/>"; got != want {
		t.Errorf("got %q", got)
	}
}

func TestRegistered(t *testing.T) {
	registry := switchdrivers.Registry{}
	if err := Register(registry); err != nil {
		t.Fatal(err)
	}
	if p, err := registry.Find("gnmi", "openconfig"); err != nil || !p.Traits().Atomic || p.Traits().NeedsSave {
		t.Errorf("%v %v", p, err)
	}
}

// A change of any size is one Set, and its verification one Get.
func BenchmarkChange(b *testing.B) {
	for _, n := range []int{1, 8, 64} {
		b.Run(strconv.Itoa(n)+" ports", func(b *testing.B) {
			var change switchdrivers.Change
			var scope switchdrivers.Scope
			var updates []*pb.Update
			for i := range n {
				name := "Ethernet" + strconv.Itoa(i+1)
				change.Ports = append(change.Ports, switchdrivers.PortChange{Name: name, To: switchdrivers.Access(110)})
				scope.Ports = append(scope.Ports, name)
				updates = append(updates, jsonAt(`{"openconfig-interfaces:config":{"name":"`+name+`","type":"iana-if-type:ethernetCsmacd","enabled":true},
					"openconfig-if-ethernet:ethernet":{"openconfig-vlan:switched-vlan":{"config":{"interface-mode":"ACCESS","access-vlan":110}}}}`,
					e("interfaces"), e("interface", "name", name)))
			}
			target := &fakeTarget{onGet: func(*pb.GetRequest) (*pb.GetResponse, error) { return answer(updates...), nil }}
			driver := open(b, plain(target.serve(b)))
			for b.Loop() {
				if err := driver.Apply(b.Context(), change); err != nil {
					b.Fatal(err)
				}
				if _, err := driver.Read(b.Context(), scope); err != nil {
					b.Fatal(err)
				}
			}
			_, gets, sets := target.counts()
			b.ReportMetric(float64(sets)/float64(b.N), "Sets/op")
			b.ReportMetric(float64(gets)/float64(b.N), "Gets/op")
			b.ReportMetric(float64(size(target.sets[0])), "Set-bytes")
			b.ReportMetric(float64(size(target.gets[0])), "Get-bytes")
			b.ReportMetric(float64(size(answer(updates...))), "answer-bytes")
		})
	}
}

func size(m proto.Message) int { return proto.Size(m) }
