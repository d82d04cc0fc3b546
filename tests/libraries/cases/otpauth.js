import * as OTPAuth from "otpauth";
export default () => new OTPAuth.TOTP({ secret: OTPAuth.Secret.fromUTF8("12345678901234567890"), digits: 8, period: 30 }).generate({ timestamp: 59000 });
export const expected = "94287082";
