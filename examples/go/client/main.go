// Client is what a program in Go needs of proglog: ten calls, an idempotent producer, a consumer that fails over.
//
//	client calls ADDR                  each of the calls, once
//	client produce ADDR COUNT          records "0" to "COUNT-1", each appended once whatever breaks
//	client consume ADDR,ADDR... COUNT  that many records from the start, on from one agent to the next
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"example/format"
	logv1 "example/gen/log/v1"
	recordv1 "example/gen/proglog/record/v1"
	pb "example/gen/proglog/v1"
)

const inFlight = 5 // batches of a producer that every agent remembers; `proglog-window` may say more

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("expected calls, produce or consume, and an address")
	}
	count := 0
	if len(args) > 2 {
		var err error
		if count, err = strconv.Atoi(args[2]); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	switch args[0] {
	case "calls":
		return calls(ctx, args[1])
	case "produce":
		return produce(ctx, args[1], count)
	case "consume":
		return consume(ctx, strings.Split(args[1], ","), count)
	}
	return fmt.Errorf("%s is not known", args[0])
}

func connect(addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}))
}

func calls(ctx context.Context, addr string) error {
	conn, err := connect(addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	book, positions, cluster := logv1.NewLogClient(conn), pb.NewPositionsClient(conn), pb.NewClusterClient(conn)
	said := func(name string, err error, what any) error {
		if err == nil {
			fmt.Println(name, what)
			return nil
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	produced, err := book.Produce(ctx, &logv1.ProduceRequest{Record: &logv1.Record{Value: []byte("from go")}})
	if err := said("Log.Produce", err, produced.GetOffset()); err != nil {
		return err
	}
	consumed, err := book.Consume(ctx, &logv1.ConsumeRequest{Offset: produced.Offset})
	if err := said("Log.Consume", err, string(consumed.GetRecord().GetValue())); err != nil {
		return err
	}
	servers, err := book.GetServers(ctx, &logv1.GetServersRequest{})
	if err := said("Log.GetServers", err, len(servers.GetServers())); err != nil {
		return err
	}
	if err := said("Batches.Produce", produce(ctx, addr, 10), 10); err != nil {
		return err
	}
	if err := said("Batches.Consume", consume(ctx, []string{addr}, 11), 11); err != nil {
		return err
	}
	health, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err := said("Health.Check", err, health.GetStatus()); err != nil {
		return err
	}
	snapshot, err := cluster.GetStatus(ctx, &pb.GetStatusRequest{})
	if err := said("Cluster.GetStatus", err, snapshot.GetLog().GetState()); err != nil {
		return err
	}
	watch, err := cluster.Watch(ctx, &pb.WatchRequest{})
	if err == nil {
		snapshot, err = watch.Recv()
	}
	if err := said("Cluster.Watch", err, snapshot.GetNode().GetName()); err != nil {
		return err
	}
	at := &pb.Cursor{Positions: []*pb.NextSequence{{Origin: snapshot.Node.Origin, NextSequence: 3}}}
	_, err = positions.Commit(ctx, &pb.CommitPositionRequest{Name: "from go", Cursor: at})
	if err := said("Positions.Commit", err, "from go"); err != nil {
		return err
	}
	listed, err := positions.List(ctx, &pb.ListPositionsRequest{Name: proto.String("from go")})
	if err := said("Positions.List", err, listed.GetPositions()[0].GetCursor().GetPositions()[0].GetNextSequence()); err != nil {
		return err
	}
	_, err = book.Consume(ctx, &logv1.ConsumeRequest{Offset: 1 << 40})
	fmt.Println("an error", status.Code(err), reason(err))
	return nil
}

// reason returns what an agent says of an error: one word that means one thing.
func reason(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.Domain == "proglog" {
			return info.Reason
		}
	}
	return ""
}

func again(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.Canceled, codes.Unknown, codes.Internal:
		return reason(err) == "" || reason(err) == "UNAVAILABLE" || reason(err) == "LOG_CLOSED" || reason(err) == "DRAINING"
	case codes.ResourceExhausted:
		return reason(err) == "TOO_MANY_CALLS"
	}
	return errors.Is(err, io.EOF)
}

// produce sends records in batches of ten; what was not answered when a stream broke is sent again, to the same log.
func produce(ctx context.Context, addr string, count int) error {
	conn, err := connect(addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	var producer [16]byte
	rand.Read(producer[:])
	var batches [][]byte
	for start := 0; start < count; start += 10 {
		columns := &recordv1.RecordColumns{}
		for number := start; number < min(start+10, count); number++ {
			columns.Values = append(columns.Values, []byte(strconv.Itoa(number)))
		}
		payload, err := proto.Marshal(columns)
		if err != nil {
			return err
		}
		now := time.Now().UnixMilli()
		batches = append(batches, format.Encode(payload, len(columns.Values), now, now, producer, 1, uint64(start)))
	}
	var log string
	for answered := 0; answered < len(batches); {
		err := send(ctx, conn, batches, &answered, &log)
		if err != nil && !again(err) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			time.Sleep(100 * time.Millisecond)
		}
	}
	return nil
}

func send(ctx context.Context, conn *grpc.ClientConn, batches [][]byte, answered *int, log *string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := pb.NewBatchesClient(conn).Produce(ctx)
	if err != nil {
		return err
	}
	header, err := stream.Header()
	if err != nil {
		return err
	}
	if key := header.Get("proglog-log-bin"); len(key) == 1 && *log == "" {
		*log = key[0]
	} else if len(key) != 1 || key[0] != *log {
		return errors.New("another log answers: what was not acknowledged may be in the first one")
	}
	for sent := *answered; *answered < len(batches); {
		for ; sent < len(batches) && sent < *answered+inFlight; sent++ {
			if err := stream.Send(&pb.ProduceBatchRequest{Batch: batches[sent]}); err != nil {
				break // Recv says why
			}
		}
		if _, err := stream.Recv(); err != nil {
			return err
		}
		*answered++
	}
	return nil
}

// consume prints count records from the start, at whichever agent answers: a cursor fits them all.
func consume(ctx context.Context, addrs []string, count int) error {
	cursor := format.Cursor{}
	for tries := 0; count > 0; tries++ {
		conn, err := connect(addrs[tries%len(addrs)])
		if err != nil {
			return err
		}
		err = follow(ctx, conn, cursor, &count)
		conn.Close()
		if err != nil && !again(err) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			time.Sleep(50 * time.Millisecond)
		}
	}
	fmt.Println("cursor", cursor.Token())
	return nil
}

func follow(ctx context.Context, conn *grpc.ClientConn, cursor format.Cursor, count *int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request := &pb.ConsumeBatchesRequest{Cursor: &pb.Cursor{}, Follow: true}
	for origin, sequence := range cursor {
		request.Cursor.Positions = append(request.Cursor.Positions, &pb.NextSequence{Origin: origin[:], NextSequence: sequence})
	}
	stream, err := pb.NewBatchesClient(conn).Consume(ctx, request)
	if err != nil {
		return err
	}
	for *count > 0 {
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		for data := answer.Batches; len(data) > 0 && *count > 0; {
			h, payload, err := format.Parse(data)
			if err != nil {
				return err
			}
			data = data[h.BatchBytes:]
			if err := print(h, payload, cursor, count); err != nil {
				return err
			}
		}
		for _, passed := range answer.Passed { // control batches hold no records; a cursor skips them
			cursor[[16]byte(passed.Origin)] = max(cursor[[16]byte(passed.Origin)], passed.EndSequence)
		}
	}
	return nil
}

// print prints what of a batch the cursor has not had yet.
func print(h format.Header, payload []byte, cursor format.Cursor, count *int) error {
	var columns recordv1.RecordColumns
	if err := proto.Unmarshal(payload, &columns); err != nil {
		return err
	}
	for number, value := range columns.Values {
		sequence := h.BaseSequence + uint64(number)
		if sequence < cursor[h.Origin] || *count == 0 {
			continue
		}
		fmt.Printf("record %s\n", value)
		cursor[h.Origin] = sequence + 1
		*count--
	}
	return nil
}
