package events

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/switchbind/switchbind/portbinding"
)

// Client is the command line's side of the contract. It is safe for concurrent use.
//
// Its errors are *[portbinding.InvalidError] and *[portbinding.UnknownError] as the engine gave them, *[NobodyError] when no
// switchbind answers, and *[APIError] for everything else that went wrong on the other side.
type Client struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	subjects subjects
}

// NobodyError says that no switchbind answered: it does not run, is not connected to this NATS server, or is too busy.
type NobodyError struct {
	Asked string // what it was asked
	Err   error
}

func (e *NobodyError) Error() string {
	return fmt.Sprintf("no switchbind answers (%s): is `switchbind serve` running, and connected to this NATS server?", e.Asked)
}

func (e *NobodyError) Unwrap() error { return e.Err }

// APIError is an error that the service met while it did what it was asked.
type APIError struct {
	Verb    string `json:"-"`
	Kind    string `json:"kind"` // "internal", "timeout", ...
	Message string `json:"message"`
}

func (e *APIError) Error() string { return e.Message }

// NewClient returns a client on a connection that it does not own. prefix is that of the subjects, "" for [DefaultPrefix].
func NewClient(conn *nats.Conn, prefix string) (*Client, error) {
	subjects, err := newSubjects(prefix)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	return &Client{conn, js, subjects}, nil
}

// Bind publishes a binding under a source ("cli-<user>" for a person) and returns the id of the event, which is the RequestID of
// the results it causes. The binding is checked against the contract first (*[portbinding.InvalidError]). A nil error means that
// the event is stored, not that anybody has seen it; to wait for the answer, call [Client.WatchResults] before.
func (c *Client) Bind(ctx context.Context, source string, binding portbinding.Binding) (eventID string, err error) {
	eventID = newUUID()
	data, err := encodeEvent(TypeBinding, source, eventID, binding.PortID, time.Now(), binding)
	if err != nil {
		return "", err
	}
	if _, err := decodeBinding(source, binding.PortID, data); err != nil {
		return "", err
	}
	_, err = c.js.Publish(ctx, c.subjects.binding(source, binding.PortID), data, jetstream.WithMsgID(eventID))
	switch {
	case err == nil:
		return eventID, nil
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse):
		return "", &NobodyError{Asked: "bind: the stream " + c.subjects.stream(kindBindings) + " does not exist", Err: err}
	}
	return "", fmt.Errorf("publishing the binding of %s: %w", binding.PortID, err)
}

// ResultWatch receives the results of one port from the moment it was made.
type ResultWatch struct {
	sub      *nats.Subscription
	subjects subjects
	asked    string
}

// WatchResults begins to listen for a port's results, of every source. Call it before what causes the result.
func (c *Client) WatchResults(portID string) (*ResultWatch, error) {
	if !uuidPattern.MatchString(portID) {
		return nil, &portbinding.InvalidError{Pointer: "/data/port_id", Problem: uuidProblem(portID)}
	}
	sub, err := c.conn.SubscribeSync(c.subjects.result("*", portID))
	if err != nil {
		return nil, fmt.Errorf("listening for results: %w", err)
	}
	if err := c.conn.Flush(); err != nil { // the server knows of the subscription before anything is published
		sub.Unsubscribe()
		return nil, fmt.Errorf("listening for results: %w", err)
	}
	return &ResultWatch{sub, c.subjects, "waiting for the result of port " + portID}, nil
}

// Next returns the next result. When ctx ends first the error is *[NobodyError] if no result came before the deadline, and
// the context's own error when it was cancelled.
func (w *ResultWatch) Next(ctx context.Context) (portbinding.Result, error) {
	for {
		msg, err := w.sub.NextMsgWithContext(ctx)
		if err != nil {
			if errors.Is(ctx.Err(), context.Canceled) {
				return portbinding.Result{}, ctx.Err()
			}
			return portbinding.Result{}, &NobodyError{Asked: w.asked, Err: err}
		}
		if r, err := decodeResult(msg.Data); err == nil {
			r.Source, _, _ = w.subjects.tail("result", msg.Subject)
			return r, nil
		}
	}
}

// Await returns the first result that match accepts; errors are those of Next.
func (w *ResultWatch) Await(ctx context.Context, match func(portbinding.Result) bool) (portbinding.Result, error) {
	for {
		r, err := w.Next(ctx)
		if err != nil || match(r) {
			return r, err
		}
	}
}

// Close stops listening.
func (w *ResultWatch) Close() { w.sub.Unsubscribe() }

// List returns the bindings that pass the filter.
func (c *Client) List(ctx context.Context, f portbinding.ListFilter) ([]portbinding.BindingView, error) {
	return ask[[]portbinding.BindingView](ctx, c, verbList, f)
}

// Show returns everything about one binding.
func (c *Client) Show(ctx context.Context, portID string) (portbinding.BindingView, error) {
	return ask[portbinding.BindingView](ctx, c, verbShow, showRequest{PortID: portID})
}

// Switches returns every switch of the configuration.
func (c *Client) Switches(ctx context.Context) ([]portbinding.SwitchView, error) {
	return ask[[]portbinding.SwitchView](ctx, c, verbSwitches, struct{}{})
}

// Plan returns what would be sent to which switch; nothing is sent.
func (c *Client) Plan(ctx context.Context, r portbinding.PlanRequest) ([]portbinding.PlanView, error) {
	return ask[[]portbinding.PlanView](ctx, c, verbPlan, r)
}

// Rebind asks that a binding be applied and verified again. The result carries r.RequestID; [NewRequestID] makes one.
func (c *Client) Rebind(ctx context.Context, r portbinding.RebindRequest) error {
	_, err := ask[struct{}](ctx, c, verbRebind, r)
	return err
}

// Reconcile asks that a switch, or with r.Switch "" every switch, be read and compared now.
func (c *Client) Reconcile(ctx context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error) {
	return ask[portbinding.OperatorReport](ctx, c, verbReconcile, r)
}

// Forget drops what a dead switch still holds.
func (c *Client) Forget(ctx context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error) {
	return ask[portbinding.OperatorReport](ctx, c, verbForget, r)
}

// Release makes a port idle that carries a VLAN nothing explains.
func (c *Client) Release(ctx context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error) {
	return ask[portbinding.OperatorReport](ctx, c, verbRelease, r)
}

// Pause stops all writing to a switch.
func (c *Client) Pause(ctx context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error) {
	return ask[portbinding.OperatorReport](ctx, c, verbPause, r)
}

// Resume ends a pause.
func (c *Client) Resume(ctx context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error) {
	return ask[portbinding.OperatorReport](ctx, c, verbResume, r)
}

// Replace says that a switch is new hardware.
func (c *Client) Replace(ctx context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error) {
	return ask[portbinding.OperatorReport](ctx, c, verbReplace, r)
}

// AcceptSnapshot lets a held snapshot of a source do what it says.
func (c *Client) AcceptSnapshot(ctx context.Context, source, by string) (portbinding.SnapshotReport, error) {
	return ask[portbinding.SnapshotReport](ctx, c, verbSnapshotAccept, acceptRequest{Source: source, By: by})
}

// Export returns the whole ledger.
func (c *Client) Export(ctx context.Context) (portbinding.LedgerExport, error) {
	return ask[portbinding.LedgerExport](ctx, c, verbExport, struct{}{})
}

// Import puts an exported ledger back.
func (c *Client) Import(ctx context.Context, l portbinding.LedgerExport, by string) (portbinding.OperatorReport, error) {
	return ask[portbinding.OperatorReport](ctx, c, verbImport, importRequest{By: by, Ledger: l})
}

// NewRequestID returns a new random id for a request or an event.
func NewRequestID() string { return newUUID() }

func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// ask sends one request and decodes the answer.
func ask[Answer any](ctx context.Context, c *Client, verb string, request any) (Answer, error) {
	var answer Answer
	body, err := json.Marshal(request)
	if err != nil {
		return answer, err
	}
	reply, err := call(ctx, c.conn, c.subjects.api(verb), verb, body)
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(reply, &answer); err != nil {
		return answer, &APIError{Verb: verb, Kind: "internal", Message: "the service's answer cannot be read: " + err.Error()}
	}
	return answer, nil
}
