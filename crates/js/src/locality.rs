//! Where a worker is: in no place. As on the platform its clock shows UTC and its language is American English, whatever the
//! machine is set to, in this process as in a child.

use deno_core::v8;

/// The worker's language.
const LOCALE: &str = "en-US";
/// The worker's time zone, in UTF-16 and with a zero at its end.
const TIME_ZONE: [u16; 4] = [b'U' as u16, b'T' as u16, b'C' as u16, 0];

unsafe extern "C" {
    /// ICU: the time zone of whoever names none. The name ends in ICU's version, as those that the crate `v8` calls do.
    #[link_name = "ucal_setDefaultTimeZone_77"]
    fn set_default_time_zone(zone: *const u16, error: *mut i32);
}

/// Sets both for the process. V8 must have started, which gives ICU its data, and have made no isolate.
pub(crate) fn set() {
    v8::icu::set_default_locale(LOCALE);
    let mut error = 0;
    // SAFETY: the zone is a UTF-16 text that ends in a zero, and both live through the call.
    unsafe { set_default_time_zone(TIME_ZONE.as_ptr(), &raw mut error) };
    // Above zero are errors; without its data ICU would know no zone at all.
    debug_assert!(error <= 0, "ICU knows no UTC: {error}");
}
