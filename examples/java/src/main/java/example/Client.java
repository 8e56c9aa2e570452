package example;

import com.google.protobuf.ByteString;
import com.google.rpc.ErrorInfo;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.zip.CRC32C;
import log.v1.ConsumeRequest;
import log.v1.GetServersRequest;
import log.v1.LogGrpc;
import log.v1.ProduceRequest;
import log.v1.Record;
import proglog.record.v1.RecordColumns;
import proglog.v1.BatchesGrpc;
import proglog.v1.ClusterGrpc;
import proglog.v1.CommitPositionRequest;
import proglog.v1.ConsumeBatchesRequest;
import proglog.v1.ConsumeBatchesResponse;
import proglog.v1.Cursor;
import proglog.v1.GetStatusRequest;
import proglog.v1.ListPositionsRequest;
import proglog.v1.NextSequence;
import proglog.v1.PositionsGrpc;
import proglog.v1.ProduceBatchRequest;
import proglog.v1.ProduceBatchResponse;
import proglog.v1.WatchRequest;

/**
 * What a program in Java needs of proglog: {@code calls ADDR} makes each of the calls once; {@code produce ADDR COUNT} appends
 * that many records, each once whatever breaks; {@code consume ADDR,ADDR COUNT} prints that many from the start, on from one
 * agent to the next.
 */
public final class Client {
  private static final int HEADER_BYTES = 128;
  private static final int SEED = 0x50524f47; // "PROG": the checksum of nothing is not 0
  private static final int EPOCH = 1;
  private static final int RECORDS_A_BATCH = 10;
  private static final Metadata.Key<byte[]> LOG = Metadata.Key.of("proglog-log-bin", Metadata.BINARY_BYTE_MARSHALLER);
  private static final Set<Status.Code> AGAIN =
      EnumSet.of(Status.Code.UNAVAILABLE, Status.Code.CANCELLED, Status.Code.UNKNOWN, Status.Code.INTERNAL);

  public static void main(String[] args) throws Exception {
    if (args[0].equals("calls")) calls(args[1]);
    else if (args[0].equals("produce")) produce(args[1], Integer.parseInt(args[2]));
    else consume(args[1].split(","), Integer.parseInt(args[2]));
  }

  private static ManagedChannel open(String addr) {
    return ManagedChannelBuilder.forTarget(addr).usePlaintext().keepAliveTime(10, TimeUnit.SECONDS).build();
  }

  private static void calls(String addr) throws Exception {
    ManagedChannel channel = open(addr);
    var book = LogGrpc.newBlockingStub(channel);
    var cluster = ClusterGrpc.newBlockingStub(channel);
    var positions = PositionsGrpc.newBlockingStub(channel);
    Record record = Record.newBuilder().setValue(ByteString.copyFromUtf8("from java")).build();
    long offset = book.produce(ProduceRequest.newBuilder().setRecord(record).build()).getOffset();
    System.out.println("Log.Produce " + offset);
    System.out.println("Log.Consume " + book.consume(at(offset)).getRecord().getValue().toStringUtf8());
    System.out.println("Log.GetServers " + book.getServers(GetServersRequest.getDefaultInstance()).getServersCount());
    System.out.println("Batches.Produce " + produce(addr, 10));
    consume(new String[] {addr}, 11);
    var status = cluster.getStatus(GetStatusRequest.getDefaultInstance());
    System.out.println("Cluster.GetStatus " + status.getLog().getState());
    System.out.println("Cluster.Watch " + cluster.watch(WatchRequest.getDefaultInstance()).next().getNode().getName());
    var next = NextSequence.newBuilder().setOrigin(status.getNode().getOrigin()).setNextSequence(3);
    var commit = CommitPositionRequest.newBuilder().setName("from java").setCursor(Cursor.newBuilder().addPositions(next));
    positions.commit(commit.build());
    var listed = positions.list(ListPositionsRequest.newBuilder().setName("from java").build());
    System.out.println("Positions.List " + listed.getPositions(0).getCursor().getPositions(0).getNextSequence());
    try {
      book.consume(at(1L << 40));
    } catch (StatusRuntimeException error) {
      var details = StatusProto.fromThrowable(error);
      ErrorInfo info = details.getDetails(0).unpack(ErrorInfo.class);
      System.out.println("an error " + error.getStatus().getCode() + " " + info.getReason());
    }
    channel.shutdownNow();
  }

  private static ConsumeRequest at(long offset) {
    return ConsumeRequest.newBuilder().setOffset(offset).build();
  }

  /**
   * Appends the records "0" to "count - 1", each once whatever breaks: a batch whose answer is missing is sent again under the same
   * identity and sequence, and the agent that has it already answers without appending.
   */
  private static int produce(String addr, int count) throws Exception {
    byte[] producer = new byte[16];
    new SecureRandom().nextBytes(producer);
    byte[] log = null;
    for (int sent = 0; sent < count; ) {
      ManagedChannel channel = open(addr);
      var headers = new AtomicReference<Metadata>();
      var answers = new LinkedBlockingQueue<Object>();
      var stub = BatchesGrpc.newStub(channel)
          .withInterceptors(MetadataUtils.newCaptureMetadataInterceptor(headers, new AtomicReference<>()));
      var requests = stub.produce(new StreamObserver<ProduceBatchResponse>() {
        @Override public void onNext(ProduceBatchResponse answer) { answers.add(answer); }
        @Override public void onError(Throwable error) { answers.add(error); }
        @Override public void onCompleted() {}
      });
      try {
        while (sent < count) {
          int end = Math.min(sent + RECORDS_A_BATCH, count);
          byte[] batch = encode(columns(sent, end), end - sent, System.currentTimeMillis(), producer, sent);
          requests.onNext(ProduceBatchRequest.newBuilder().setBatch(ByteString.copyFrom(batch)).build());
          Object answer = answers.poll(30, TimeUnit.SECONDS);
          if (answer == null) throw new IllegalStateException("no answer within 30 s");
          if (answer instanceof Throwable error) throw Status.fromThrowable(error).asRuntimeException();
          byte[] taker = headers.get().get(LOG);
          if (log != null && !Arrays.equals(log, taker)) throw new IllegalStateException("another log answers");
          log = taker;
          sent = end;
        }
        requests.onCompleted();
      } catch (StatusRuntimeException error) {
        if (!AGAIN.contains(error.getStatus().getCode())) throw error;
        Thread.sleep(100);
      }
      channel.shutdownNow();
    }
    return count;
  }

  private static byte[] columns(int start, int end) {
    var columns = RecordColumns.newBuilder();
    for (int number = start; number < end; number++) columns.addValues(ByteString.copyFromUtf8(String.valueOf(number)));
    return columns.build().toByteArray();
  }

  private static byte[] encode(byte[] payload, int count, long timeMs, byte[] producer, long sequence) {
    ByteBuffer batch = ByteBuffer.allocate(HEADER_BYTES + payload.length).order(ByteOrder.LITTLE_ENDIAN);
    batch.put(0, new byte[] {(byte) 0xa7, 'P', 'L', 'B'}).putInt(24, batch.capacity()).put(36, (byte) 1);
    batch.putLong(64, count).putInt(72, count).putInt(84, EPOCH).putLong(88, timeMs).putLong(96, timeMs);
    batch.put(104, producer).putLong(120, sequence).put(HEADER_BYTES, payload);
    byte[] bytes = batch.array();
    batch.putInt(32, crc(crc(SEED, bytes, HEADER_BYTES, bytes.length), bytes, 36, HEADER_BYTES));
    batch.putInt(4, crc(SEED, bytes, 8, HEADER_BYTES));
    return bytes;
  }

  /** java.util.zip has no way to continue a checksum: the four bytes that lead to {@code start} go first. */
  private static int crc(int start, byte[] data, int from, int to) {
    CRC32C crc = new CRC32C();
    crc.update(leadingTo(start));
    crc.update(data, from, to - from);
    return (int) crc.getValue();
  }

  private static byte[] leadingTo(int start) {
    int state = ~start;
    for (int bit = 0; bit < 32; bit++) state = (state < 0) ? ((state ^ 0x82f63b78) << 1) | 1 : state << 1;
    return ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(~state).array();
  }

  private static void consume(String[] addrs, int count) throws Exception {
    Map<ByteString, Long> cursor = new HashMap<>();
    for (int tries = 0; count > 0; tries++) {
      ManagedChannel channel = open(addrs[tries % addrs.length]);
      var positions = Cursor.newBuilder();
      cursor.forEach((origin, next) -> positions.addPositions(NextSequence.newBuilder().setOrigin(origin).setNextSequence(next)));
      var request = ConsumeBatchesRequest.newBuilder().setCursor(positions).setFollow(true).build();
      try {
        var answers = BatchesGrpc.newBlockingStub(channel).consume(request);
        while (count > 0) count = take(answers.next(), cursor, count);
      } catch (StatusRuntimeException error) {
        if (error.getStatus().getCode() != Status.Code.UNAVAILABLE) throw error;
        Thread.sleep(50);
      }
      channel.shutdownNow();
    }
  }

  /** Prints what of an answer the cursor has not had yet; returns how many records are still wanted. */
  private static int take(ConsumeBatchesResponse answer, Map<ByteString, Long> cursor, int left) throws Exception {
    ByteBuffer data = answer.getBatches().asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
    byte[] bytes = answer.getBatches().toByteArray();
    for (int at = 0; at < bytes.length && left > 0; at += data.getInt(at + 24)) {
      int end = at + data.getInt(at + 24);
      int checksum = crc(crc(SEED, bytes, at + HEADER_BYTES, end), bytes, at + 36, at + HEADER_BYTES);
      if (crc(SEED, bytes, at + 8, at + HEADER_BYTES) != data.getInt(at + 4) || checksum != data.getInt(at + 32))
        throw new IllegalStateException("a batch is damaged");
      ByteString origin = answer.getBatches().substring(at + 40, at + 56);
      long sequence = data.getLong(at + 56);
      for (ByteString value : RecordColumns.parseFrom(answer.getBatches().substring(at + HEADER_BYTES, end)).getValuesList()) {
        if (sequence++ < cursor.getOrDefault(origin, 1L) || left == 0) continue;
        System.out.println("record " + value.toStringUtf8());
        cursor.put(origin, sequence);
        left--;
      }
    }
    for (var passed : answer.getPassedList()) cursor.merge(passed.getOrigin(), passed.getEndSequence(), Math::max);
    return left;
  }
}
