/*
 * Device names as file names. What can't stand in one ('/', control characters, a leading dot) and
 * '%' itself is written as %XX. A device whose name makes more than a file's name may have (names
 * of devices are up to 255 bytes, and each of them may become three) gets one that only tells it
 * from others: "%~<SHA-256 of the device>.csv". Pure functions.
 */
#pragma once

#include <glib.h>

/* "<escaped device>.csv", or "%~<hash>.csv" where that is too long. Transfer full. */
char *file_name_of_device(const char *device);

/* The other way: the path's last part without ".csv", with %XX decoded. Transfer full. NULL when
 * that gives no name, as "%~<hash>.csv" does. */
char *device_of_path(const char *path);
