import { Effect, pipe, Schedule } from "effect";
export default async () => {
  let attempts = 0;
  const flaky = Effect.suspend(() => (++attempts < 3 ? Effect.fail("no") : Effect.succeed("yes")));
  return [await Effect.runPromise(pipe(flaky, Effect.retry(Schedule.recurs(5)))), attempts];
};
export const expected = ["yes", 3];
