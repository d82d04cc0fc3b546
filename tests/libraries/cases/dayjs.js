import dayjs from "dayjs";
import utc from "dayjs/plugin/utc.js";
dayjs.extend(utc);
export default () => dayjs.utc("2026-11-21T10:00:00Z").add(1, "week").format("YYYY-MM-DDTHH:mm:ss[Z]");
export const expected = "2026-11-28T10:00:00Z";
