/** The trace of the page: that of the server's answer, else one of its own. */

import { type Context, ROOT_CONTEXT, type Span, type SpanContext, type Tracer, context, trace } from "@opentelemetry/api";
import { StackContextManager } from "@opentelemetry/sdk-trace";
import type { AttributeName } from "./contract.js";

const FORMAT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;
const LONGEST = 128;

/** Return the span that a `traceparent` names; undefined if it is not valid. */
export function parse(traceparent: string | null | undefined): SpanContext | undefined {
  const found = FORMAT.exec(traceparent?.trim() ?? "");
  if (!found) return undefined;
  const [, traceId, spanId, flags] = found as unknown as [string, string, string, string];
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, traceFlags: parseInt(flags, 16) & 1, isRemote: true };
}

/** Return the span of the server that made the page, if the page or its answer names it. */
export function serverSpan(given?: string): SpanContext | undefined {
  return parse(given) ?? parse(fromMeta()) ?? parse(fromServerTiming());
}

/** The span of the page's load, and the context of what happens in the page. */
export class PageTrace {
  readonly context: Context;
  /** Not the global one: the page may want to register its own, and only one can be. */
  private readonly inner = new StackContextManager().enable();
  private readonly span: Span;
  private ended = false;

  constructor(tracer: Tracer, given: string | undefined, page: string | undefined) {
    const server = serverSpan(given);
    const parent = server ? trace.setSpanContext(ROOT_CONTEXT, server) : ROOT_CONTEXT;
    const attributes: Partial<Record<AttributeName, string>> = page ? { "browser.page": page.slice(0, LONGEST) } : {};
    this.span = tracer.startSpan("page load", { startTime: performance.timeOrigin, attributes }, parent);
    this.context = trace.setSpan(parent, this.span);
  }

  /** The context of what begins now. */
  current(): Context {
    const found = [context.active(), this.inner.active()].find((each) => trace.getSpanContext(each));
    return found ?? this.context;
  }

  /** Run a function inside a context: for what is recorded in it, and for the page, if it has a context manager. */
  run<T>(inside: Context, run: () => T): T {
    return this.inner.with(inside, () => context.with(inside, run));
  }

  /** End the span of the load; later calls have no effect. */
  end(): void {
    if (this.ended) return;
    this.ended = true;
    this.span.end();
  }
}

function fromMeta(): string | null | undefined {
  if (typeof document === "undefined") return undefined;
  return document.querySelector('meta[name="traceparent"]')?.getAttribute("content");
}

function fromServerTiming(): string | undefined {
  if (typeof document === "undefined") return undefined;
  const [navigation] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  return navigation?.serverTiming?.find((entry) => entry.name === "traceparent")?.description;
}
