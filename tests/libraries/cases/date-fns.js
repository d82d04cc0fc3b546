import { addMonths, differenceInDays, format, parseISO } from "date-fns";
export default () => [format(addMonths(parseISO("2026-01-31T00:00:00"), 1), "yyyy-MM-dd EEEE"), differenceInDays(new Date(2026, 2, 1), new Date(2026, 1, 1))];
export const expected = ["2026-02-28 Saturday", 28];
