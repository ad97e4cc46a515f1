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
/** Requests of a signal at a time; exporters refuse more than 30. */
const FLYING = 4;
/** What may be on its way at a time: browsers allow 64 KiB while a page goes away, and metrics need a part. */
const LEAVING_BYTES = 20 * 1024;
const LEAVING_REQUESTS = 3;

export class Outbox<T> {
  private waiting: T[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** The timer is that of a full batch. */
  private soon = false;
  private readonly flying = new Set<Promise<void>>();

  /**
   * @param sizeOf the bytes of a batch in a request.
   * @param count called with the number of records that have had an outcome.
   */
  constructor(
    private readonly exporter: Exporter<T>,
    private readonly sizeOf: (batch: T[]) => number,
    private readonly count: (number: number, outcome: Outcome) => void,
  ) {}

  /** Add a record; it is exported later, not during the page's call. */
  add(record: T): void {
    if (this.waiting.length >= CAPACITY) {
      this.count(1, "queue_full");
      return;
    }
    this.waiting.push(record);
    this.schedule();
  }

  /** Export all, and wait for the answers. */
  async flush(): Promise<void> {
    do {
      this.drain();
      await Promise.all(this.flying);
    } while (this.waiting.length > 0);
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

  /** Export after a second, or soon if there is a batch. */
  private schedule(): void {
    const full = this.waiting.length >= BATCH;
    if (this.timer !== undefined && (!full || this.soon)) return;
    clearTimeout(this.timer);
    this.soon = full;
    this.timer = setTimeout(() => this.drain(), full ? 0 : DELAY);
  }

  private drain(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    while (this.waiting.length > 0 && this.flying.size < FLYING) void this.send(this.waiting.splice(0, BATCH));
  }

  private send(batch: T[]): Promise<void> {
    const sent = this.exported(batch).then((outcome) => {
      this.flying.delete(sent);
      this.count(batch.length, outcome);
      if (this.waiting.length > 0) this.schedule();
    });
    this.flying.add(sent);
    return sent;
  }

  private exported(batch: T[]): Promise<Outcome> {
    return new Promise((resolve) => {
      const ended = ({ code }: ExportResult): void => resolve(code === ExportResultCode.SUCCESS ? "sent" : "not_delivered");
      try {
        context.with(suppressTracing(context.active()), () => this.exporter.export(batch, ended));
      } catch {
        resolve("not_delivered");
      }
    });
  }
}
