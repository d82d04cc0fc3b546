import { DateTime } from "luxon";
export default () => DateTime.fromISO("2026-11-21T10:00:00Z").setZone("Asia/Tokyo").toFormat("yyyy-MM-dd HH:mm ZZ");
export const expected = "2026-11-21 19:00 +09:00";
