/** Turns executions into spans, metrics and log records: the same mapping as `_recording/_mapping.py` of the SDK. */

import { type Context, type Logger, SeverityNumber, type Span, SpanStatusCode, type Tracer, trace } from "@opentelemetry/api";
import { Execution, type Operation, type Site } from "./execution.js";
import { errorCounts, guarded } from "./guard.js";
import type { Instruments, Values } from "./instruments.js";
import type { PageTrace } from "./page_trace.js";
import type { Chosen } from "./settings.js";
import type { Status, Verdict } from "./verdict.js";

const RUNTIME = { "sandbox.runtime": "browser" } as const;
const SECURITY = { "security.event.type": "sandbox_violation" } as const;
const WARN: [SeverityNumber, string] = [SeverityNumber.WARN, "WARN"];
const SEVERITIES: Partial<Record<Status, [SeverityNumber, string]>> = {
  OK: [SeverityNumber.INFO, "INFO"],
  IE: [SeverityNumber.ERROR, "ERROR"],
  SV: [SeverityNumber.ERROR, "ERROR"],
};

export class Recorder {
  /** The calls that are running, one inside the other. */
  depth = 0;
  private readonly active = new Map<Operation, number>();
  private readonly told = new WeakSet<object>();

  constructor(
    private readonly tracer: Tracer,
    private readonly logger: Logger,
    readonly instruments: Instruments,
    readonly page: PageTrace,
    private readonly settings: Pick<Chosen, "spans" | "messages">,
  ) {
    instruments.observe("sandbox.execution.active", (result) => {
      for (const [operation, value] of this.active) result.observe(value, labels(operation));
    });
    instruments.observe("sandscope.errors", (result) => {
      for (const [component, value] of errorCounts()) result.observe(value, { "sandscope.component": component });
    });
  }

  /** Begin an execution. */
  begin(site: Site, start?: number, parent = this.page.current()): Execution {
    const { operation } = site;
    const execution = new Execution(this, site, parent, start);
    this.active.set(operation, (this.active.get(operation) ?? 0) + 1);
    if (this.isTraced(operation)) {
      const attributes = { ...RUNTIME, "sandbox.operation": operation, ...site.attributes };
      execution.span = this.tracer.startSpan(site.name, { startTime: execution.start, attributes }, execution.parent);
      execution.inside = trace.setSpan(execution.parent, execution.span);
    }
    return execution;
  }

  /** Record the end of an execution. */
  ended(execution: Execution): void {
    const { operation } = execution.site;
    this.active.set(operation, (this.active.get(operation) ?? 1) - 1);
    guarded("metrics", () => this.count(execution));
    if (execution.span) guarded("span", () => this.trace(execution, execution.span as Span));
  }

  /** Report a violation or a limit once, though it may end several calls; also of calls without a span. */
  failed(execution: Execution, error: unknown): void {
    const ended = execution.failure?.verdict;
    if (!ended || (ended.status !== "SV" && !ended.limit)) return;
    if (typeof error === "object" && error !== null) {
      if (this.told.has(error)) return;
      this.told.add(error);
    }
    const name = ended.limit ? "sandbox.resource" : "sandbox.security";
    const attributes: Values = ended.limit
      ? { ...RUNTIME, "sandbox.limit": ended.limit }
      : { ...RUNTIME, ...SECURITY, "sandbox.violation.type": ended.cause, "sandbox.violation.action": actionOn(execution) };
    execution.span?.addEvent(name, attributes);
    const { "wasm.module": module, "wasm.function": called } = execution.site.attributes;
    const where: Values = { ...(module && { "wasm.module": module }), ...(called && { "wasm.function": called }) };
    const body = `${execution.site.name}: ${ended.cause}`;
    this.log(name, body, WARN, { ...attributes, ...where }, execution.inside ?? execution.parent);
  }

  /** Emit a log record. */
  log(name: string, body: string, severity: [SeverityNumber, string], attributes: Values, context?: Context): void {
    const [severityNumber, severityText] = severity;
    const inside = context ?? this.page.current();
    this.logger.emit({ eventName: name, body, severityNumber, severityText, attributes, context: inside });
  }

  private isTraced(operation: Operation): boolean {
    const { spans } = this.settings;
    return operation !== "call" || spans === "all" || (spans === "outer" && this.depth === 0);
  }

  private count(execution: Execution): void {
    const { verdict, site, parent, inside = parent } = execution;
    const { status, actor, cause, limit } = verdict as Verdict;
    const base = labels(site.operation);
    const ended = { ...base, "sandbox.verdict.status": status };
    this.instruments.add("sandbox.executions", 1, {
      ...ended,
      "sandbox.verdict.actor": actor,
      "sandbox.verdict.cause": cause,
    });
    this.instruments.record("sandbox.execution.duration", execution.duration, ended, inside);
    if (limit) this.instruments.add("sandbox.limit.violations", 1, { ...base, "sandbox.limit": limit });
    if (status === "SV") this.instruments.add("sandbox.security.violations", 1, { ...base, "sandbox.verdict.cause": cause });
  }

  private trace(execution: Execution, span: Span): void {
    const { site, added, end, inside, duration } = execution;
    const verdict = execution.verdict as Verdict;
    const own: Values = { ...added, ...verdictAttributes(execution, verdict) };
    const exception = this.exceptionAttributes(execution);
    span.setAttributes(own);
    if (verdict.status !== "OK") {
      span.setStatus({ code: SpanStatusCode.ERROR, message: execution.failure?.message ?? verdict.cause });
    }
    span.end(end);
    const attributes = { ...labels(site.operation), ...site.attributes, ...own, "sandbox.duration": duration, ...exception };
    const body = verdict.status === "OK" ? `${site.name}: OK` : `${site.name}: ${verdict.status} (${verdict.cause})`;
    this.log("sandbox.execution", body, severityOf(verdict), attributes, inside);
  }

  private exceptionAttributes({ failure, verdict }: Execution): Values {
    if (!failure || verdict?.status === "OK") return {};
    const message = failure.message ?? (this.settings.messages ? failure.original : undefined);
    return { "exception.type": failure.type, ...(message !== undefined && { "exception.message": message }) };
  }
}

function labels(operation: Operation): Values {
  return { ...RUNTIME, "sandbox.operation": operation };
}

function verdictAttributes({ failure }: Execution, { status, actor, cause, limit }: Verdict): Values {
  return {
    "sandbox.verdict.status": status,
    "sandbox.verdict.actor": actor,
    "sandbox.verdict.cause": cause,
    ...(limit && { "sandbox.limit": limit }),
    ...(status !== "OK" && { "error.type": failure?.type ?? cause }),
  };
}

function severityOf({ status }: Verdict): [SeverityNumber, string] {
  return SEVERITIES[status] ?? WARN;
}

function actionOn({ site }: Execution): "trapped" | "refused" {
  return site.operation === "compile" ? "refused" : "trapped";
}
