export default function attack() {
  let signals = [new AbortController().signal];
  for (;;) signals = [...signals, AbortSignal.any(signals), AbortSignal.timeout(1e6)];
}
