export default function attack() {
  const start = new Temporal.PlainDate(-271821, 4, 20, "chinese");
  let days = 0;
  for (;;) days += start.until(new Temporal.PlainDate(275760, 9, 12, "chinese"), { largestUnit: "months" }).months;
}
