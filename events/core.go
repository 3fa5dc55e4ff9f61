package events

import (
	"context"

	"github.com/switchbind/switchbind/portbinding"
)

// Core is what the inbox and the API drive: the engine of package portbinding, seen from the message side. Tests put a fake in
// its place. All methods are safe for concurrent use.
type Core interface {
	// Accept takes newly arrived bindings, in the order of the stream. When it returns, what was taken is in the ledger and the
	// switches concerned are marked dirty: the message may be acknowledged. The result has one element per message: nil; an
	// [*portbinding.InvalidError], for a message that can never be taken (it goes to the dead letters); or any other error,
	// after which the message is to be delivered again.
	Accept(ctx context.Context, messages []portbinding.Message) []error
	// Reject answers with a refusal a binding that breaks the contract. Of the message only its source, its port and, where it is
	// known, the request id, revision and digest that are answered need be set.
	Reject(ctx context.Context, m portbinding.Message, err *portbinding.InvalidError) error
	// Wake tells the worker of a switch that there may be work. It returns at once. fence is asked before each write.
	Wake(switchName string, fence portbinding.Fence)
	// Disown tells the worker of a switch that another process owns it from now on.
	Disown(switchName string)

	Snapshot(ctx context.Context, s portbinding.Snapshot) (portbinding.SnapshotReport, error)

	List(ctx context.Context, f portbinding.ListFilter) ([]portbinding.BindingView, error)
	Show(ctx context.Context, portID string) (portbinding.BindingView, error)
	Switches(ctx context.Context) ([]portbinding.SwitchView, error)
	Plan(ctx context.Context, r portbinding.PlanRequest) ([]portbinding.PlanView, error)
	Rebind(ctx context.Context, r portbinding.RebindRequest) error
	Reconcile(ctx context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error) // Switch "" is every switch
	Forget(ctx context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error)
	Release(ctx context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error)
	Pause(ctx context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error)
	Resume(ctx context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error)
	Replace(ctx context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error)
	AcceptSnapshot(ctx context.Context, source, by string) (portbinding.SnapshotReport, error)
	Export(ctx context.Context) (portbinding.LedgerExport, error)
	Import(ctx context.Context, l portbinding.LedgerExport, by string) (portbinding.OperatorReport, error)
}
