package gnmi

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/switchbind/switchbind/switchdrivers"
)

// fakeTarget is a gNMI server that answers as a test tells it to. It knows nothing of VLANs.
type fakeTarget struct {
	pb.UnimplementedGNMIServer
	encodings []pb.Encoding
	onCaps    func() error
	onGet     func(*pb.GetRequest) (*pb.GetResponse, error)
	onSet     func(*pb.SetRequest) (*pb.SetResponse, error)

	mutex sync.Mutex
	caps  int
	gets  []*pb.GetRequest
	sets  []*pb.SetRequest
	login []string
}

func (f *fakeTarget) Capabilities(ctx context.Context, _ *pb.CapabilityRequest) (*pb.CapabilityResponse, error) {
	f.mutex.Lock()
	f.caps++
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		f.login = append(md.Get("username"), md.Get("password")...)
	}
	f.mutex.Unlock()
	if f.onCaps != nil {
		if err := f.onCaps(); err != nil {
			return nil, err
		}
	}
	return &pb.CapabilityResponse{
		GNMIVersion: "0.7.0", SupportedEncodings: f.encodings,
		SupportedModels: []*pb.ModelData{
			{Name: "openconfig-vlan", Organization: "OpenConfig working group", Version: "3.2.2"},
			{Name: "arista-intf-augments", Organization: "Arista Networks <http://arista.com/>", Version: "1.0.0"},
		},
	}, nil
}

func (f *fakeTarget) Get(_ context.Context, r *pb.GetRequest) (*pb.GetResponse, error) {
	f.mutex.Lock()
	f.gets = append(f.gets, r)
	f.mutex.Unlock()
	if f.onGet == nil {
		return answer(jsonAt(fewPorts)), nil
	}
	return f.onGet(r)
}

func (f *fakeTarget) Set(_ context.Context, r *pb.SetRequest) (*pb.SetResponse, error) {
	f.mutex.Lock()
	f.sets = append(f.sets, r)
	f.mutex.Unlock()
	if f.onSet == nil {
		return &pb.SetResponse{}, nil
	}
	return f.onSet(r)
}

func (f *fakeTarget) counts() (caps, gets, sets int) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.caps, len(f.gets), len(f.sets)
}

// serve runs the target on loopback until the test ends, and returns its address.
func (f *fakeTarget) serve(t testing.TB, options ...grpc.ServerOption) string {
	t.Helper()
	if f.encodings == nil {
		f.encodings = []pb.Encoding{pb.Encoding_JSON, pb.Encoding_JSON_IETF, pb.Encoding_ASCII}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(options...)
	pb.RegisterGNMIServer(server, f)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return listener.Addr().String()
}

// plain is a switch without TLS at the address.
func plain(address string) switchdrivers.Switch {
	sw := switchdrivers.Switch{Name: "leaf1", Address: address}
	sw.TLS.Insecure = true
	sw.Timeouts = switchdrivers.Timeouts{Connect: 10 * time.Second, Command: 10 * time.Second, Commit: 10 * time.Second}
	return sw
}

// open returns a driver that is closed when the test ends.
func open(t testing.TB, sw switchdrivers.Switch) *Driver {
	t.Helper()
	driver, err := OpenConfig().Open(sw, switchdrivers.Environment{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := driver.Close(); err != nil {
			t.Error(err)
		}
	})
	return driver.(*Driver)
}

// jsonAt is one update of an answer, as JSON_IETF.
func jsonAt(text string, elems ...*pb.PathElem) *pb.Update {
	return &pb.Update{Path: &pb.Path{Elem: elems},
		Val: &pb.TypedValue{Value: &pb.TypedValue_JsonIetfVal{JsonIetfVal: []byte(text)}}}
}

// e is a path element: e("interface", "name", "Ethernet1").
func e(name string, keys ...string) *pb.PathElem {
	elem := &pb.PathElem{Name: name}
	for i := 0; i+1 < len(keys); i += 2 {
		if elem.Key == nil {
			elem.Key = map[string]string{}
		}
		elem.Key[keys[i]] = keys[i+1]
	}
	return elem
}

func answer(updates ...*pb.Update) *pb.GetResponse {
	return &pb.GetResponse{Notification: []*pb.Notification{{Timestamp: 1, Update: updates}}}
}
