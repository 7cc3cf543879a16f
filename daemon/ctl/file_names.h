/*
 * Device names as file names. What can't stand in one ('/', control characters, a leading dot) and
 * '%' itself is written as %XX. Pure functions.
 */
#pragma once

#include <glib.h>

/* "<escaped device>.csv". Transfer full. */
char *file_name_of_device(const char *device);

/* The other way: the path's last part without ".csv", with %XX decoded. Transfer full. NULL when
 * that gives no name. */
char *device_of_path(const char *path);
