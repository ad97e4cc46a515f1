"""An agent's loop with a scripted model, and spans that follow OpenTelemetry's GenAI semantic conventions."""

from opentelemetry import baggage, context, trace
from tools import TOOLS

# The model's answers, in order: tool calls, and a text at the end.
SCRIPT = [
    ("run_python", "print(sum(range(101)))"),
    ("run_python", "while True: pass"),
    ("run_wasm", '(module (func (export "run") (result i32) (i32.const 5050)))'),
    ("run_wasm", '(module (func (export "run") (loop (br 0))))'),
    ("run_wasm", '(module (memory 1) (func (export "run") (drop (i32.load (i32.const 65536)))))'),
    "The sum is 5050.",
]
tracer = trace.get_tracer("agent")


def ask_model(messages: list[str]) -> tuple[str, str] | str:
    """Return the model's next tool call, or its answer."""
    return SCRIPT[len(messages) - 1]


def execute_tool(number: int, name: str, code: str) -> str:
    """Run one tool; the executions that it starts copy the attributes of this span."""
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": name,
        "gen_ai.tool.call.id": f"call_{number}",
    }
    with tracer.start_as_current_span(f"execute_tool {name}", attributes=attributes):
        return TOOLS[name](code)


def invoke_agent(question: str, conversation: str) -> str:
    """Ask the model, and execute its tool calls until it answers with a text."""
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "adder"}
    # Baggage reaches all executions inside, also nested ones.
    context.attach(baggage.set_baggage("gen_ai.conversation.id", conversation))
    with tracer.start_as_current_span("invoke_agent adder", attributes=attributes) as span:
        span.set_attribute("gen_ai.conversation.id", conversation)
        messages = [question]
        while not isinstance(asked := ask_model(messages), str):
            messages.append(execute_tool(len(messages), *asked))
            print("tool:", messages[-1].strip())
        return asked


print("agent:", invoke_agent("What is the sum of the numbers up to 100?", "conversation_1"))
