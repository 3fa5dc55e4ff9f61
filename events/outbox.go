package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/switchbind/switchbind/portbinding"
)

// outbox publishes results and drift.
type outbox struct {
	js       jetstream.JetStream
	subjects subjects
	instance string
}

var _ portbinding.Outbox = (*outbox)(nil)

// Results publishes results, all at once, in the order given, and waits until every one is kept.
func (o *outbox) Results(ctx context.Context, results ...portbinding.Result) error {
	messages := make([]*nats.Msg, 0, len(results))
	for _, r := range results {
		if !sourcePattern.MatchString(r.Source) || r.PortID == "" {
			return fmt.Errorf("a result of port %q for the source %q has no subject", r.PortID, r.Source)
		}
		m, err := o.resultMessage(r)
		if err != nil {
			return err
		}
		messages = append(messages, m)
	}
	if err := publishAll(ctx, o.js, messages); err != nil {
		return fmt.Errorf("publishing results: %w", err)
	}
	return nil
}

func (o *outbox) resultMessage(r portbinding.Result) (*nats.Msg, error) {
	if r.Links == nil {
		r.Links = []portbinding.LinkResult{}
	}
	id := newUUID()
	text, err := encodeEvent(TypeResult, o.instance, id, r.PortID, time.Now(), r)
	if err != nil {
		return nil, err
	}
	if len(text) > MaxMessageBytes {
		// What was observed is a courtesy; the answer is not.
		r.Links = append([]portbinding.LinkResult(nil), r.Links...)
		for i := range r.Links {
			r.Links[i].Observed = nil
		}
		if text, err = encodeEvent(TypeResult, o.instance, id, r.PortID, time.Now(), r); err != nil {
			return nil, err
		}
	}
	return withID(o.subjects.result(r.Source, encodeToken(r.PortID)), id, text), nil
}

// Drift publishes one switch's drift.
func (o *outbox) Drift(ctx context.Context, d portbinding.Drift) error {
	if d.Ports == nil {
		d.Ports = []portbinding.PortDrift{}
	}
	id := newUUID()
	text, err := encodeEvent(TypeDrift, o.instance, id, d.Switch, time.Now(), d)
	if err != nil {
		return err
	}
	if err := publishAll(ctx, o.js, []*nats.Msg{withID(o.subjects.drift(d.Switch), id, text)}); err != nil {
		return fmt.Errorf("publishing drift: %w", err)
	}
	return nil
}

func withID(subject, id string, data []byte) *nats.Msg {
	return &nats.Msg{Subject: subject, Data: data, Header: nats.Header{nats.MsgIdHdr: {id}}}
}

// publishAll publishes messages without waiting in between, so that a batch costs little more than one write, and then waits
// for every acknowledgement. Failures are joined; a nil error means that all are kept.
func publishAll(ctx context.Context, js jetstream.JetStream, messages []*nats.Msg, opts ...jetstream.PublishOpt) error {
	_, errs := publishEach(ctx, js, messages, opts...)
	return errors.Join(errs...)
}

// publishEach returns one acknowledgement or one error per message.
func publishEach(ctx context.Context, js jetstream.JetStream, messages []*nats.Msg, opts ...jetstream.PublishOpt) (
	[]*jetstream.PubAck, []error) {
	futures := make([]jetstream.PubAckFuture, len(messages))
	acks := make([]*jetstream.PubAck, len(messages))
	errs := make([]error, len(messages))
	collect := func(i int) {
		select {
		case acks[i] = <-futures[i].Ok():
		case errs[i] = <-futures[i].Err():
		case <-ctx.Done():
			errs[i] = ctx.Err()
		}
	}
	next := 0 // the oldest that was not collected yet
	for i, m := range messages {
		if i-next >= maxInFlight {
			collect(next)
			next++
		}
		future, err := js.PublishMsgAsync(m, opts...)
		if err != nil {
			errs[i] = err
			futures[i] = failedFuture{err}
			continue
		}
		futures[i] = future
	}
	for ; next < len(messages); next++ {
		collect(next)
	}
	return acks, errs
}

// maxInFlight bounds what one batch has in the air; it is well under what the JetStream client allows all together, above which
// publications fail instead of waiting.
const maxInFlight = 512

// failedFuture is a publication that did not even leave.
type failedFuture struct{ err error }

func (f failedFuture) Ok() <-chan *jetstream.PubAck { return nil }
func (f failedFuture) Err() <-chan error {
	c := make(chan error, 1)
	c <- f.err
	return c
}
func (f failedFuture) Msg() *nats.Msg { return nil }
