/** Batches, what is sent while the page goes away, and what is counted. */

import { ExportResultCode } from "@opentelemetry/core";
import { expect, it, vi } from "vitest";
import { Outbox, type Outcome } from "../src/outbox.js";

function outbox(code = ExportResultCode.SUCCESS, bytes = 1000) {
  const batches: number[][] = [];
  const counts: Partial<Record<Outcome, number>> = {};
  const exporter = {
    export: (batch: number[], ended: (result: { code: ExportResultCode }) => void) => {
      batches.push(batch);
      ended({ code });
    },
  };
  const count = (number: number, outcome: Outcome) => void (counts[outcome] = (counts[outcome] ?? 0) + number);
  return { box: new Outbox<number>(exporter, (batch) => batch.length * bytes, count), batches, counts };
}

it("exports a batch soon, fewer a second later, and nothing during the call", async () => {
  vi.useFakeTimers();
  const { box, batches, counts } = outbox();
  box.add(0);
  await vi.advanceTimersByTimeAsync(999);
  expect(batches).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(batches).toEqual([[0]]);
  for (let record = 0; record < 50; record++) box.add(record);
  expect(batches).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(0);
  expect(batches.map((batch) => batch.length)).toEqual([1, 40, 10]);
  expect(counts).toEqual({ sent: 51 });
  vi.useRealTimers();
});

it("a burst is sent in turn, not refused", async () => {
  const counts: Partial<Record<Outcome, number>> = {};
  let flying = 0;
  let most = 0;
  const exporter = {
    export: (_batch: number[], ended: (result: { code: ExportResultCode }) => void) => {
      most = Math.max(most, ++flying);
      setTimeout(() => {
        flying--;
        ended({ code: ExportResultCode.SUCCESS });
      }, 1);
    },
  };
  const box = new Outbox<number>(exporter, () => 0, (number, outcome) => void (counts[outcome] = (counts[outcome] ?? 0) + number));
  for (let record = 0; record < 2100; record++) box.add(record);
  await box.flush();
  expect(counts).toEqual({ queue_full: 52, sent: 2048 });
  expect(most).toBe(4);
});

it("counts what is not delivered", async () => {
  const { box, counts } = outbox(ExportResultCode.FAILED);
  box.add(1);
  await box.flush();
  expect(counts).toEqual({ not_delivered: 1 });
});

it("sends what fits while the page goes away, and counts the rest", async () => {
  const { box, batches, counts } = outbox(ExportResultCode.SUCCESS, 1024);
  for (let record = 0; record < 39; record++) box.add(record);
  box.leave(true);
  await box.flush();
  expect(batches.flat()).toEqual([...Array(20).keys()]);
  expect(counts).toEqual({ sent: 20, not_delivered: 19 });
});

it("keeps what does not fit if the page may come back", async () => {
  const { box, batches, counts } = outbox(ExportResultCode.SUCCESS, 1024);
  for (let record = 0; record < 39; record++) box.add(record);
  box.leave(false);
  await box.flush();
  expect(batches.flat()).toEqual([...Array(39).keys()]);
  expect(counts).toEqual({ sent: 39 });
});

it("is bounded", () => {
  const counts: string[] = [];
  const box = new Outbox<number>({ export: () => undefined }, () => 0, (number, outcome) => void counts.push(`${number} ${outcome}`));
  Object.assign(box, { waiting: Array(2048).fill(0) });
  box.add(1);
  expect(counts).toEqual(["1 queue_full"]);
});

it("an exporter that raises has not delivered", async () => {
  const counts: string[] = [];
  const raising = {
    export: () => {
      throw new Error("no");
    },
  };
  const box = new Outbox<number>(raising, () => 0, (number, outcome) => void counts.push(`${number} ${outcome}`));
  box.add(1);
  await box.flush();
  expect(counts).toEqual(["1 not_delivered"]);
});
