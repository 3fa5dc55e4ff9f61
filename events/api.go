package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/rs/zerolog"

	"github.com/switchbind/switchbind/portbinding"
)

// The verbs of the API: the last token of the subject.
const (
	verbList           = "list"
	verbShow           = "show"
	verbSwitches       = "switches"
	verbPlan           = "plan"
	verbRebind         = "rebind"
	verbReconcile      = "reconcile"
	verbForget         = "forget"
	verbRelease        = "release"
	verbPause          = "pause"
	verbResume         = "resume"
	verbReplace        = "replace"
	verbSnapshotAccept = "snapshot-accept"
	verbExport         = "export"
	verbImport         = "import"
)

type showRequest struct {
	PortID string `json:"port_id"`
}

type acceptRequest struct {
	Source string `json:"source"`
	By     string `json:"by"`
}

type importRequest struct {
	By     string                   `json:"by"`
	Ledger portbinding.LedgerExport `json:"ledger"`
}

// apiTimeout bounds what one request may take; planning reads switches.
const apiTimeout = 2 * time.Minute

// apiConcurrency is how many requests are worked on at once.
const apiConcurrency = 16

// api answers requests: a NATS service with one endpoint per verb, which `nats micro` can list, too.
type api struct {
	ctx     context.Context
	conn    *nats.Conn
	log     zerolog.Logger
	service micro.Service
	slots   chan struct{}
	running sync.WaitGroup
	cancel  context.CancelFunc
}

// operation does what one verb asks and returns the answer, to be encoded as JSON.
type operation func(ctx context.Context, body []byte) (any, error)

func operations(core Core) map[string]operation {
	operator := func(do func(context.Context, portbinding.OperatorRequest) (portbinding.OperatorReport, error)) operation {
		return with(func(ctx context.Context, r portbinding.OperatorRequest) (any, error) { return do(ctx, r) })
	}
	return map[string]operation{
		verbList: with(func(ctx context.Context, f portbinding.ListFilter) (any, error) {
			views, err := core.List(ctx, f)
			return notNil(views), err
		}),
		verbShow: with(func(ctx context.Context, r showRequest) (any, error) { return core.Show(ctx, r.PortID) }),
		verbSwitches: with(func(ctx context.Context, _ struct{}) (any, error) {
			views, err := core.Switches(ctx)
			return notNil(views), err
		}),
		verbPlan: func(ctx context.Context, body []byte) (any, error) {
			if err := validatePlan(body); err != nil {
				return nil, err
			}
			return with(func(ctx context.Context, r portbinding.PlanRequest) (any, error) {
				views, err := core.Plan(ctx, r)
				return notNil(views), err
			})(ctx, body)
		},
		verbRebind: with(func(ctx context.Context, r portbinding.RebindRequest) (any, error) {
			return struct{}{}, core.Rebind(ctx, r)
		}),
		verbReconcile: operator(core.Reconcile),
		verbForget:    operator(core.Forget),
		verbRelease:   operator(core.Release),
		verbPause:     operator(core.Pause),
		verbResume:    operator(core.Resume),
		verbReplace:   operator(core.Replace),
		verbSnapshotAccept: with(func(ctx context.Context, r acceptRequest) (any, error) {
			return core.AcceptSnapshot(ctx, r.Source, r.By)
		}),
		verbExport: with(func(ctx context.Context, _ struct{}) (any, error) { return core.Export(ctx) }),
		verbImport: with(func(ctx context.Context, r importRequest) (any, error) { return core.Import(ctx, r.Ledger, r.By) }),
	}
}

// with decodes the request. Requests come from this program's own command line; unknown fields of a newer one are ignored.
func with[Request any](do func(context.Context, Request) (any, error)) operation {
	return func(ctx context.Context, body []byte) (any, error) {
		var request Request
		if len(body) > 0 {
			if err := json.Unmarshal(body, &request); err != nil {
				return nil, &portbinding.InvalidError{Problem: "the request cannot be read: " + err.Error()}
			}
		}
		return do(ctx, request)
	}
}

func notNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// validatePlan checks the bindings of a plan request by the rules for events.
func validatePlan(body []byte) error {
	if len(body) == 0 {
		return nil
	}
	request, err := parseStrict(body)
	if err != nil {
		return err
	}
	object, _ := request.(map[string]any)
	bindings, _ := object["bindings"].([]any)
	for i, b := range bindings {
		if err := validateBinding(b); err != nil {
			var invalid *portbinding.InvalidError
			if errors.As(err, &invalid) {
				invalid.Pointer = pointer([]string{"bindings", strconv.Itoa(i)}) + invalid.Pointer
			}
			return err
		}
	}
	return nil
}

func startAPI(ctx context.Context, b *Bus, core Core) (*api, error) {
	a := &api{conn: b.conn, log: b.log, slots: make(chan struct{}, apiConcurrency)}
	a.ctx, a.cancel = context.WithCancel(ctx)
	service, err := micro.AddService(b.conn, micro.Config{
		Name: "switchbind", Version: b.config.Version, Description: "binds bare metal to networks on physical switches",
		Metadata: map[string]string{"instance": b.config.Instance, "prefix": b.subjects.prefix},
	})
	if err != nil {
		a.cancel()
		return nil, fmt.Errorf("the API cannot be registered: %w", err)
	}
	a.service = service
	for verb, do := range operations(core) {
		if err := service.AddEndpoint(verb, a.handler(verb, do), micro.WithEndpointSubject(b.subjects.api(verb))); err != nil {
			a.stop()
			return nil, fmt.Errorf("the API's %s cannot be registered: %w", verb, err)
		}
	}
	if err := b.conn.Flush(); err != nil { // from here on, requests are answered
		a.stop()
		return nil, fmt.Errorf("the API cannot be registered: %w", err)
	}
	return a, nil
}

func (a *api) stop() {
	if err := a.service.Stop(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		a.log.Debug().Err(err).Msg("stopping the API")
	}
	a.cancel()
	a.running.Wait()
}

// handler runs each request beside the others: a plan that reads a slow switch must not keep `list` waiting.
func (a *api) handler(verb string, do operation) micro.Handler {
	return micro.HandlerFunc(func(request micro.Request) {
		select {
		case a.slots <- struct{}{}:
		case <-a.ctx.Done():
			return
		}
		a.running.Go(func() {
			defer func() { <-a.slots }()
			ctx, cancel := context.WithTimeout(a.ctx, apiTimeout)
			defer cancel()
			a.answer(ctx, verb, do, request)
		})
	})
}

func (a *api) answer(ctx context.Context, verb string, do operation, request micro.Request) {
	to := replyTo{conn: a.conn, subject: request.Reply()}
	body := request.Data()
	if size := request.Headers().Get(headerUpload); size != "" {
		var err error
		if body, to.subject, err = receiveUpload(ctx, a.conn, to, size); err != nil {
			a.log.Warn().Err(err).Str("verb", verb).Msg("a large request did not arrive")
			to.fail(err)
			return
		}
	}
	result, err := do(ctx, body)
	if err == nil {
		var text []byte
		if text, err = json.Marshal(result); err == nil {
			err = to.send(text)
		}
	}
	if err != nil {
		a.log.Debug().Err(err).Str("verb", verb).Msg("a request failed")
		to.fail(err)
	}
}

// failure is the body of an error answer.
type failure struct {
	Kind    string `json:"kind"` // "invalid", "unknown", "timeout", "internal"
	Message string `json:"message"`
	Pointer string `json:"pointer,omitempty"` // of an invalid request
	What    string `json:"what,omitempty"`    // kind of thing that is unknown
	Name    string `json:"name,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

func failureOf(err error) (code string, f failure) {
	var invalid *portbinding.InvalidError
	var unknown *portbinding.UnknownError
	switch {
	case errors.As(err, &invalid):
		return "400", failure{Kind: "invalid", Message: invalid.Problem, Pointer: invalid.Pointer}
	case errors.As(err, &unknown):
		return "404", failure{Kind: "unknown", Message: unknown.Error(), What: unknown.Kind, Name: unknown.Name, Hint: unknown.Hint}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "504", failure{Kind: "timeout", Message: "switchbind could not finish in time: " + err.Error()}
	}
	return "500", failure{Kind: "internal", Message: err.Error()}
}

func (f failure) err(verb string) error {
	switch f.Kind {
	case "invalid":
		return &portbinding.InvalidError{Pointer: f.Pointer, Problem: f.Message}
	case "unknown":
		return &portbinding.UnknownError{Kind: f.What, Name: f.Name, Hint: f.Hint}
	}
	return &APIError{Verb: verb, Kind: f.Kind, Message: f.Message}
}
