package events

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/switchbind/switchbind/portbinding"
	"github.com/switchbind/switchbind/switchdrivers"
)

// envelope is CloudEvents 1.0 in its structured JSON form.
type envelope struct {
	SpecVersion     string `json:"specversion"`
	Type            string `json:"type"`
	Source          string `json:"source"`
	ID              string `json:"id"`
	Subject         string `json:"subject"`
	Time            string `json:"time"`
	DataContentType string `json:"datacontenttype"`
	Data            any    `json:"data"`
}

func encodeEvent(eventType, source, id, subject string, at time.Time, data any) ([]byte, error) {
	text, err := json.Marshal(envelope{
		SpecVersion: "1.0", Type: eventType, Source: source, ID: id, Subject: subject,
		Time: at.UTC().Format(time.RFC3339Nano), DataContentType: "application/json", Data: data,
	})
	if err != nil {
		return nil, fmt.Errorf("encoding a %s: %w", eventType, err)
	}
	return text, nil
}

// bindingEvent is a decoded switchbind.binding.v1.
type bindingEvent struct {
	ID      string              `json:"id"`
	Source  string              `json:"source"`
	Subject string              `json:"subject"`
	Binding portbinding.Binding `json:"data"`
}

// decodeBinding reads and checks a binding event. source and port are those of the NATS subject, which NATS permissions guard:
// the body must say the same. Errors are *[portbinding.InvalidError].
func decodeBinding(source, port string, data []byte) (bindingEvent, error) {
	var e bindingEvent
	if err := decodeEvent(SchemaBinding, data, &e); err != nil {
		return bindingEvent{}, err
	}
	switch {
	case e.Source != source:
		return bindingEvent{}, differs("/source", e.Source, "source in the subject", source)
	case e.Subject != e.Binding.PortID:
		return bindingEvent{}, differs("/subject", e.Subject, "data.port_id", e.Binding.PortID)
	case e.Binding.PortID != port:
		return bindingEvent{}, differs("/data/port_id", e.Binding.PortID, "port in the subject", port)
	}
	return e, nil
}

func differs(at, got, what, want string) error {
	return &portbinding.InvalidError{Pointer: at,
		Problem: fmt.Sprintf("it is %s, but the %s is %s", switchdrivers.Quote(got), what, switchdrivers.Quote(want))}
}

// decodeEvent parses, validates and copies one message into to, a pointer to a struct.
func decodeEvent(schema string, data []byte, to any) error {
	if len(data) > MaxMessageBytes {
		return &portbinding.InvalidError{Problem: fmt.Sprintf("the message has %d bytes, and may have at most %d", len(data), MaxMessageBytes)}
	}
	message, err := parseStrict(data)
	if err != nil {
		return err
	}
	if err := validate(schema, message); err != nil {
		return err
	}
	if err := fill(reflect.ValueOf(to).Elem(), message); err != nil {
		return &portbinding.InvalidError{Problem: err.Error()}
	}
	return nil
}

// decodeResult reads a result that switchbind itself published.
func decodeResult(data []byte) (portbinding.Result, error) {
	var e struct {
		Type string             `json:"type"`
		Data portbinding.Result `json:"data"`
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return portbinding.Result{}, err
	}
	if e.Type != TypeResult {
		return portbinding.Result{}, fmt.Errorf("type is %q", e.Type)
	}
	return e.Data, nil
}

func uuidProblem(text string) string {
	return fmt.Sprintf("it is %s, and must be a UUID in lower case, like b16e0dcd-67e8-4442-9a66-4d1692f5846f", switchdrivers.Quote(text))
}
