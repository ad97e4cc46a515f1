/** Waits with ended spans or log records and exports them in batches; what cannot be sent is counted. */

import { context } from "@opentelemetry/api";
import { type ExportResult, ExportResultCode, suppressTracing } from "@opentelemetry/core";

export type Outcome = "sent" | "queue_full" | "not_delivered";

/** What an exporter of OpenTelemetry has. */
interface Exporter<T> {
  export(batch: T[], ended: (result: ExportResult) => void): void;
}

/** Records at a time: about 40 kB, so that a browser also sends them while the page goes away. */
const BATCH = 40;
const CAPACITY = 2048;
const DELAY = 1000;
/** What may be on its way at a time: browsers allow 64 KiB while a page goes away, and metrics need a part. */
const LEAVING_BYTES = 20 * 1024;
const LEAVING_REQUESTS = 3;

export class Outbox<T> {
  private waiting: T[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param sizeOf the bytes of a batch in a request.
   * @param count called with the number of records that have had an outcome.
   */
  constructor(
    private readonly exporter: Exporter<T>,
    private readonly sizeOf: (batch: T[]) => number,
    private readonly count: (number: number, outcome: Outcome) => void,
  ) {}

  /** Add a record. */
  add(record: T): void {
    if (this.waiting.length >= CAPACITY) {
      this.count(1, "queue_full");
      return;
    }
    this.waiting.push(record);
    if (this.waiting.length % BATCH === 0) this.send(this.waiting.splice(0, BATCH));
    else this.timer ??= setTimeout(() => void this.flush(), DELAY);
  }

  /** Export all, and wait for the answers. */
  async flush(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    const sent: Promise<void>[] = [];
    while (this.waiting.length > 0) sent.push(this.send(this.waiting.splice(0, BATCH)));
    await Promise.all(sent);
  }

  /**
   * Export at once what a browser sends while the page goes away.
   *
   * @param last the page does not come back: what is left is lost, and counted.
   */
  leave(last: boolean): void {
    let room = LEAVING_BYTES;
    for (let requests = 0; requests < LEAVING_REQUESTS; requests++) {
      const batch = this.fitting(room);
      if (batch.length === 0) break;
      room -= this.sizeOf(batch);
      void this.send(batch);
    }
    if (last) this.count(this.waiting.splice(0).length, "not_delivered");
  }

  /** Take the first records, as many as fit. */
  private fitting(room: number): T[] {
    for (let number = Math.min(BATCH, this.waiting.length); number > 0; number >>= 1) {
      if (this.sizeOf(this.waiting.slice(0, number)) <= room) return this.waiting.splice(0, number);
    }
    return [];
  }

  private send(batch: T[]): Promise<void> {
    return new Promise((resolve) => {
      const ended = ({ code }: ExportResult): void => {
        this.count(batch.length, code === ExportResultCode.SUCCESS ? "sent" : "not_delivered");
        resolve();
      };
      try {
        context.with(suppressTracing(context.active()), () => this.exporter.export(batch, ended));
      } catch (error) {
        ended({ code: ExportResultCode.FAILED, error: error as Error });
      }
    });
  }
}
