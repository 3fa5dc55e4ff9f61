package events

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/switchbind/switchbind/portbinding"
)

// inbox hands bindings to the core, up to 64 at once, and acknowledges what the core has taken.
//
// What it cannot hand over is never dropped: a message that breaks the contract is kept as a dead letter and answered before it is
// acknowledged; for any other failure it is delivered again. Deliveries may therefore be out of order. That does no harm: the
// core orders a port's messages by revision and sequence.
type inbox struct {
	bus    *Bus
	core   Core
	log    zerolog.Logger
	dead   deadLetters
	queue  chan jetstream.Msg
	cancel context.CancelFunc
	done   chan struct{}
}

const (
	// inboxBatch is the most that is handed to the core at once.
	inboxBatch = 64
	// inboxAckWait is after what time the server delivers again what was not answered, because we may be dead.
	inboxAckWait = time.Minute
	// inboxMaxPending bounds what the server hands out before earlier messages are answered.
	inboxMaxPending = 1024
)

func startInbox(ctx context.Context, b *Bus, core Core) (*inbox, error) {
	in := &inbox{bus: b, core: core, log: b.log, dead: deadLetters{b.js, b.subjects}, queue: make(chan jetstream.Msg, inboxBatch),
		done: make(chan struct{})}
	consumer, err := in.consumer(ctx)
	if err != nil {
		return nil, err
	}
	ctx, in.cancel = context.WithCancel(ctx)
	pulled := make(chan struct{})
	go func() {
		defer close(pulled)
		in.pull(ctx, consumer)
	}()
	go func() {
		defer close(in.done)
		in.run(ctx)
		<-pulled
	}()
	return in, nil
}

func (in *inbox) stop() {
	in.cancel()
	<-in.done
}

func (in *inbox) consumer(ctx context.Context) (jetstream.Consumer, error) {
	consumer, err := in.bus.streams.bindings.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable:       "inbox",
		Description:   "bindings on their way into the ledger",
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       inboxAckWait,
		MaxAckPending: inboxMaxPending,
		DeliverPolicy: jetstream.DeliverAllPolicy,
	})
	if err != nil {
		return nil, fmt.Errorf("the consumer of the bindings cannot be made: %w", err)
	}
	return consumer, nil
}

// pull keeps a consumer going until ctx ends, and makes it again when somebody removed it.
func (in *inbox) pull(ctx context.Context, consumer jetstream.Consumer) {
	for ctx.Err() == nil {
		if consumer != nil {
			in.consume(ctx, consumer)
		}
		if ctx.Err() != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		var err error
		if consumer, err = in.consumer(ctx); err != nil && ctx.Err() == nil {
			in.log.Warn().Err(err).Msg("trying again")
		}
	}
}

func (in *inbox) consume(ctx context.Context, consumer jetstream.Consumer) {
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		select {
		case in.queue <- msg:
		case <-ctx.Done(): // not acknowledged: delivered again
		}
	}, jetstream.PullMaxMessages(4*inboxBatch), jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		in.log.Debug().Err(err).Msg("pulling bindings")
	}))
	if err != nil {
		in.log.Warn().Err(err).Msg("bindings cannot be consumed; trying again")
		return
	}
	select {
	case <-ctx.Done():
		consuming.Stop()
		<-consuming.Closed()
	case <-consuming.Closed():
	}
}

// run takes what is there, up to a batch, without waiting for more: a lone message is not delayed, a burst is not split.
func (in *inbox) run(ctx context.Context) {
	for {
		var batch []jetstream.Msg
		select {
		case <-ctx.Done():
			return
		case msg := <-in.queue:
			batch = append(batch, msg)
		}
	more:
		for len(batch) < inboxBatch {
			select {
			case msg := <-in.queue:
				batch = append(batch, msg)
			default:
				break more
			}
		}
		in.take(ctx, batch)
	}
}

// arrival is one message on its way.
type arrival struct {
	msg     jetstream.Msg
	meta    *jetstream.MsgMetadata
	message portbinding.Message
	// Where the answer goes if the message is refused: from the subject, which NATS permissions guard.
	source, port string
	invalid      *portbinding.InvalidError
}

func (in *inbox) take(ctx context.Context, batch []jetstream.Msg) {
	arrivals := make([]*arrival, 0, len(batch))
	for _, msg := range batch {
		if a := in.decode(msg); a != nil {
			arrivals = append(arrivals, a)
		}
	}
	slices.SortStableFunc(arrivals, func(a, b *arrival) int {
		return cmp.Compare(a.meta.Sequence.Stream, b.meta.Sequence.Stream)
	})
	var messages []portbinding.Message
	var valid []*arrival
	for _, a := range arrivals {
		if a.invalid != nil {
			in.refuse(ctx, a)
			continue
		}
		messages, valid = append(messages, a.message), append(valid, a)
	}
	if len(messages) == 0 {
		return
	}
	errs := in.core.Accept(ctx, messages)
	if len(errs) != len(messages) {
		in.log.Error().Int("messages", len(messages)).Int("answers", len(errs)).Msg("the engine did not answer for every message")
		errs = slices.Repeat([]error{errors.New("no answer")}, len(messages))
	}
	for i, a := range valid {
		switch err := errs[i]; {
		case err == nil:
			in.settle(a, a.msg.Ack())
		case errors.As(err, &a.invalid):
			in.refuse(ctx, a)
		default:
			if ctx.Err() == nil {
				in.log.Warn().Err(err).Str("port_id", a.port).Str("source", a.source).Msg("a binding could not be taken; it is delivered again")
			}
			in.again(a)
		}
	}
}

func (in *inbox) decode(msg jetstream.Msg) *arrival {
	meta, err := msg.Metadata()
	if err != nil { // cannot be: it came from a consumer
		in.log.Error().Err(err).Str("subject", msg.Subject()).Msg("a message without metadata")
		msg.Nak()
		return nil
	}
	a := &arrival{msg: msg, meta: meta}
	source, port, ok := in.bus.subjects.tail("binding", msg.Subject())
	switch {
	case !ok || !sourcePattern.MatchString(source):
		a.invalid = &portbinding.InvalidError{Problem: "the source in the subject is not one token of letters, digits, _ and -"}
		return a
	case !uuidPattern.MatchString(port):
		a.invalid = &portbinding.InvalidError{Problem: "the port in the subject: " + uuidProblem(port)}
		return a
	}
	a.source, a.port = source, port
	event, err := decodeBinding(source, port, msg.Data())
	if err != nil {
		if !errors.As(err, &a.invalid) {
			a.invalid = &portbinding.InvalidError{Problem: err.Error()}
		}
		return a
	}
	a.message = portbinding.Message{Source: source, Sequence: meta.Sequence.Stream, Received: meta.Timestamp, Binding: event.Binding}
	if a.message.Manual() {
		a.message.RequestID = event.ID // so that the person who waits knows the answer when it comes
	}
	return a
}

// refuse keeps the message as a dead letter, answers it, and only then takes it off the stream.
func (in *inbox) refuse(ctx context.Context, a *arrival) {
	log := in.log.With().Str("subject", a.msg.Subject()).Uint64("sequence", a.meta.Sequence.Stream).Logger()
	if err := in.dead.keep(ctx, "invalid-event", a.invalid, a.msg, a.meta); err != nil {
		log.Warn().Err(err).Msg("a refused binding could not be kept as a dead letter; it is delivered again")
		in.again(a)
		return
	}
	if a.port != "" {
		if err := in.core.Reject(ctx, a.rejected(), a.invalid); err != nil {
			log.Warn().Err(err).Msg("a refused binding could not be answered; it is delivered again")
			in.again(a)
			return
		}
	}
	log.Warn().Str("pointer", a.invalid.Pointer).Str("problem", a.invalid.Problem).Msg("refused a binding that breaks the contract")
	in.settle(a, a.msg.TermWithReason("breaks the contract"))
}

// rejected is what is known of a message that is refused. One that could not be decoded still carries its id as the Nats-Msg-Id, by
// which a person who waits knows the answer.
func (a *arrival) rejected() portbinding.Message {
	if a.message.Source != "" {
		return a.message
	}
	m := portbinding.Message{Source: a.source, Binding: portbinding.Binding{PortID: a.port}}
	if m.Manual() {
		m.RequestID = a.msg.Headers().Get(nats.MsgIdHdr)
	}
	return m
}

// again asks for another delivery, later each time.
func (in *inbox) again(a *arrival) {
	delay := time.Second << min(a.meta.NumDelivered-1, 5)
	in.settle(a, a.msg.NakWithDelay(min(delay, 30*time.Second)))
}

// settle takes note of an answer that did not reach the server: the message will come again, which does no harm.
func (in *inbox) settle(a *arrival, err error) {
	if err != nil {
		in.log.Debug().Err(err).Str("subject", a.msg.Subject()).Msg("an acknowledgement was lost; the message is delivered again")
	}
}

// deadLetters keeps messages that break the contract.
type deadLetters struct {
	js       jetstream.JetStream
	subjects subjects
}

// The headers of a dead letter; schema/dead-letter.json describes them.
const (
	headerReason   = "Switchbind-Reason"
	headerProblem  = "Switchbind-Problem"
	headerPointer  = "Switchbind-Pointer"
	headerSubject  = "Switchbind-Subject"
	headerStream   = "Switchbind-Stream"
	headerSequence = "Switchbind-Sequence"
	headerReceived = "Switchbind-Received"
)

// keep publishes the message unchanged, with headers that say what is wrong. A second delivery of the same message leaves no
// second dead letter.
func (d deadLetters) keep(ctx context.Context, reason string, fault *portbinding.InvalidError, msg jetstream.Msg,
	meta *jetstream.MsgMetadata) error {
	sequence := strconv.FormatUint(meta.Sequence.Stream, 10)
	data := msg.Data()
	// A message as large as the server allows leaves no room for the headers; the end of such a one is of no use to anybody.
	if limit := int(d.js.Conn().MaxPayload()) - 8<<10; limit > 0 && len(data) > limit {
		data = data[:limit]
	}
	_, err := d.js.PublishMsg(ctx, &nats.Msg{Subject: d.subjects.dead(reason), Data: data, Header: nats.Header{
		headerReason:   {reason},
		headerProblem:  {headerText(fault.Problem)},
		headerPointer:  {headerText(fault.Pointer)},
		headerSubject:  {headerText(msg.Subject())},
		headerStream:   {meta.Stream},
		headerSequence: {sequence},
		headerReceived: {meta.Timestamp.UTC().Format(time.RFC3339Nano)},
		nats.MsgIdHdr:  {meta.Stream + "-" + sequence},
	}})
	return err
}

// headerText makes text fit for a header: one line, not endless.
func headerText(text string) string {
	runes := []rune(text)
	if len(runes) > 500 {
		runes = append(runes[:500], '…')
	}
	for i, r := range runes {
		if r < ' ' || r == 0x7f {
			runes[i] = ' '
		}
	}
	return string(runes)
}
