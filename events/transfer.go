package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// Requests and answers of the API can be larger than a NATS message: a ledger of 10,000 entries has some 20 MiB.
//
// An answer is sent in parts to the same reply subject; every part has its number, and all but the last say that more follow. A
// large request first asks, with an empty body and its size in a header, where to send its parts: to the one process that will
// answer, however many there are. Each part is acknowledged, which also paces the sender; the last is answered as any request.
const (
	headerPart     = "Switchbind-Part"      // number of a part, from 0
	headerMore     = "Switchbind-More"      // "1": another part follows
	headerUpload   = "Switchbind-Upload"    // size of the request that is to follow, in bytes
	headerUploadTo = "Switchbind-Upload-To" // where to

	partBytes    = 512 << 10
	maxTransfer  = 512 << 20
	partDeadline = 30 * time.Second // between parts
)

// replyTo is where an answer goes.
type replyTo struct {
	conn    *nats.Conn
	subject string
}

func (r replyTo) send(text []byte) error {
	for part := 0; ; part++ {
		m := &nats.Msg{Subject: r.subject, Data: text, Header: nats.Header{headerPart: {strconv.Itoa(part)}}}
		if len(text) > partBytes {
			m.Data = text[:partBytes]
			m.Header.Set(headerMore, "1")
		}
		if err := r.conn.PublishMsg(m); err != nil {
			return fmt.Errorf("sending an answer: %w", err)
		}
		if len(text) <= partBytes {
			return nil
		}
		text = text[partBytes:]
	}
}

// fail answers with an error, as the NATS service API prescribes.
func (r replyTo) fail(err error) {
	code, f := failureOf(err)
	body, merr := json.Marshal(f)
	if merr != nil {
		return
	}
	// Who asked sees a timeout if this fails: the connection is the only way to tell them.
	_ = r.conn.PublishMsg(&nats.Msg{Subject: r.subject, Data: body, Header: nats.Header{
		micro.ErrorCodeHeader: {code}, micro.ErrorHeader: {headerText(f.Message)},
	}})
}

// receiveUpload takes the parts of a large request, and returns it with the subject where the answer is awaited.
func receiveUpload(ctx context.Context, conn *nats.Conn, to replyTo, size string) (body []byte, reply string, err error) {
	total, err := strconv.Atoi(size)
	if err != nil || total < 0 || total > maxTransfer {
		return nil, to.subject, fmt.Errorf("a request of %q bytes; at most %d are taken", headerText(size), maxTransfer)
	}
	inbox := conn.NewRespInbox()
	sub, err := conn.SubscribeSync(inbox)
	if err != nil {
		return nil, to.subject, err
	}
	defer sub.Unsubscribe()
	err = conn.PublishMsg(&nats.Msg{Subject: to.subject, Header: nats.Header{headerUploadTo: {inbox}}})
	for part := 0; err == nil; part++ {
		var m *nats.Msg
		if m, err = nextPart(ctx, sub); err != nil {
			break
		}
		body = append(body, m.Data...)
		switch {
		case m.Header.Get(headerPart) != strconv.Itoa(part) || len(body) > total:
			err = errors.New("parts of the request were lost")
		case m.Header.Get(headerMore) == "" && len(body) == total:
			return body, m.Reply, nil
		case m.Header.Get(headerMore) == "":
			err = errors.New("the request is shorter than announced")
		default:
			err = m.Respond(nil)
		}
		to.subject = m.Reply
	}
	return nil, to.subject, fmt.Errorf("receiving a large request: %w", err)
}

func nextPart(ctx context.Context, sub *nats.Subscription) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, partDeadline)
	defer cancel()
	return sub.NextMsgWithContext(ctx)
}

// call sends a request of any size and returns the whole answer.
func call(ctx context.Context, conn *nats.Conn, subject, verb string, body []byte) ([]byte, error) {
	if len(body) <= partBytes {
		return exchange(ctx, conn, &nats.Msg{Subject: subject, Data: body}, verb)
	}
	m, err := request(ctx, conn, &nats.Msg{Subject: subject, Header: nats.Header{headerUpload: {strconv.Itoa(len(body))}}}, verb)
	if err != nil {
		return nil, err
	}
	to := m.Header.Get(headerUploadTo)
	if to == "" {
		return nil, &APIError{Verb: verb, Kind: "internal", Message: "the service does not take large requests"}
	}
	for part := 0; ; part++ {
		m := &nats.Msg{Subject: to, Data: body, Header: nats.Header{headerPart: {strconv.Itoa(part)}}}
		if len(body) <= partBytes {
			return exchange(ctx, conn, m, verb)
		}
		m.Data, body = body[:partBytes], body[partBytes:]
		m.Header.Set(headerMore, "1")
		if _, err := request(ctx, conn, m, verb); err != nil {
			return nil, err
		}
	}
}

// request sends one message and returns one answer.
func request(ctx context.Context, conn *nats.Conn, m *nats.Msg, verb string) (*nats.Msg, error) {
	reply, err := conn.RequestMsgWithContext(ctx, m)
	if err != nil {
		return nil, callError(ctx, verb, err)
	}
	return reply, answerError(reply, verb)
}

// exchange sends one message and collects all parts of the answer.
func exchange(ctx context.Context, conn *nats.Conn, m *nats.Msg, verb string) ([]byte, error) {
	m.Reply = conn.NewRespInbox()
	sub, err := conn.SubscribeSync(m.Reply)
	if err != nil {
		return nil, callError(ctx, verb, err)
	}
	defer sub.Unsubscribe()
	if err := sub.SetPendingLimits(-1, maxTransfer); err != nil {
		return nil, err
	}
	if err := conn.PublishMsg(m); err != nil {
		return nil, callError(ctx, verb, err)
	}
	var answer []byte
	for part := 0; ; part++ {
		reply, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, callError(ctx, verb, err)
		}
		if err := answerError(reply, verb); err != nil {
			return nil, err
		}
		if reply.Header.Get(headerPart) != strconv.Itoa(part) {
			return nil, &APIError{Verb: verb, Kind: "internal", Message: "a part of the service's answer was lost; try again"}
		}
		answer = append(answer, reply.Data...)
		if reply.Header.Get(headerMore) == "" {
			return answer, nil
		}
	}
}

// callError tells apart "nobody is there" from everything else.
func callError(ctx context.Context, verb string, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
		return &NobodyError{Asked: verb, Err: err}
	}
	return fmt.Errorf("asking the service to %s: %w", verb, err)
}

// answerError is the error that an answer says, nil when it says none.
func answerError(m *nats.Msg, verb string) error {
	if m.Header.Get("Status") == "503" && len(m.Data) == 0 {
		return &NobodyError{Asked: verb, Err: nats.ErrNoResponders}
	}
	if m.Header.Get(micro.ErrorCodeHeader) == "" {
		return nil
	}
	var f failure
	if json.Unmarshal(m.Data, &f) != nil || f.Kind == "" {
		return &APIError{Verb: verb, Kind: "internal", Message: m.Header.Get(micro.ErrorHeader)}
	}
	return f.err(verb)
}
