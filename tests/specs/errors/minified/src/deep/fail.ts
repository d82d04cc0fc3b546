export function fail(method: string): Response {
  const longNameThatIsShortened = method.toLowerCase();
  if (longNameThatIsShortened === "get") {
    throw new Error(`fails on ${longNameThatIsShortened}`);
  }
  return new Response(longNameThatIsShortened);
}
