import { stream } from "./stream.js";
import { SSEStreamingApi, streamSSE } from "./sse.js";
import { streamText } from "./text.js";
export { SSEStreamingApi, stream, streamSSE, streamText };
